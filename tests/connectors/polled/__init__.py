"""A connector as weak as they come: rows with a change time, no order, no feed of deletes."""
