"""Acceptance suites that every log and every connector must pass; shipped to third parties."""
