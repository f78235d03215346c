"""Commands: their statements, the requests they become, and probes of their outcome."""
