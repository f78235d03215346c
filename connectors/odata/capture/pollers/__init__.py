"""The ways to detect changes: delta links, a time of change, comparing listings."""
