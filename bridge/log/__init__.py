"""The event log: ordered, durable, partitioned; one port, two implementations."""
