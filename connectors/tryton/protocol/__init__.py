"""What is sent and what comes: the forms of JSON-RPC, domains, and whether an answer fits its question. Pure."""
