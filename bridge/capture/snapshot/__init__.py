"""Snapshots and reconciles: which is taken next, which rows are read, which deletes follow."""
