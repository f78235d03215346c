"""Remote calls: where they go, the session, and the errors that come back."""
