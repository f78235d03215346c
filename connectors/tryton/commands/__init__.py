"""Commands: statements, their check against the ERP, execution and probes."""
