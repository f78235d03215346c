"""Models and their fields, and models as tables of the port."""
