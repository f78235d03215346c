"""What `status` shows: systems, groups, waits and counts, and whether all of it is healthy."""
