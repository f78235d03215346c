"""Whether the files, the log and the systems are as a bridge needs them."""
