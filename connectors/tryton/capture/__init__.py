"""Changes by polling, deletions by the ids that are left, and snapshots."""
