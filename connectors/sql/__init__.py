"""Reader, Writer and Snapshot for every SQL dialect that SQLAlchemy speaks."""
