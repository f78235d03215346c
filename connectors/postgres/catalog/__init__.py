"""Tables, their columns' types and the publication, as pg_catalog has them."""
