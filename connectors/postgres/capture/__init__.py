"""The source over a replication slot, and snapshots of its tables."""
