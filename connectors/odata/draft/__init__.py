"""A drafted system file."""
