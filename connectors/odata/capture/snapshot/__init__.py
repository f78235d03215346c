"""Entity sets in key-ordered chunks."""
