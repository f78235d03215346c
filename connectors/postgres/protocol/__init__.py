"""PostgreSQL's own formats: replication frames, COPY rows, snapshots. Pure."""
