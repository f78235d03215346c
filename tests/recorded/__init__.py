"""A bridge that an earlier commit recorded is continued by this one without a difference."""
