"""Lookups by key, for the gateway."""
