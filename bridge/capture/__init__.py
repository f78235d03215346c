"""Capture: changes of one source into the log, each exactly once."""
