"""Schema registries: the embedded one, and any Confluent-compatible one over HTTP."""
