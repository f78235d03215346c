"""Requests to a service: login, transport, limits, and the errors that come back."""
