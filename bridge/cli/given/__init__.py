"""What people give on the command line, as values: times, places in the log, keys, names."""
