"""JSON-RPC values, domains, and checks of answers against their requests. Pure."""
