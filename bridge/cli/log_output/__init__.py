"""Notices, Python logging and prints as lines of the log."""
