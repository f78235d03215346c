"""What a database needs before it is captured: inspected, checked, planned, applied."""
