"""The checkpoint record of a source: what it holds, how it is stored, where it is read."""
