"""Output of commands: rows, records, pages, and texts that are safe for a terminal."""
