"""What commands show: rows as tables or JSON lines, records of the log, progress."""
