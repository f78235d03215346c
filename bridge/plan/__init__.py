"""Plans: raw row to Avro record and back, made once, executed in one pass."""
