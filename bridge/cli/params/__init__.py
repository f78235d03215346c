"""Option and argument types, and the texts that they parse."""
