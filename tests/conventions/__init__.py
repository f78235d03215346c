"""What holds for every file of the tree, whatever it does: names, words, size, imports."""
