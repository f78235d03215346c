"""Notices, Python logging and printed text as log lines."""
