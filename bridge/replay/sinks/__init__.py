"""Where replayed events go: nowhere (a dry run), a file, an agent, another topic."""
