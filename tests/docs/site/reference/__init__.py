"""Pages that are made from the program: what it has is what they show."""
