"""Reader, Writer and Snapshot for every SQL dialect of SQLAlchemy."""
