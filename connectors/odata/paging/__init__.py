"""Reading an entity set page by page, and proof that no row is left out."""
