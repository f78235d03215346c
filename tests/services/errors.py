class ServerUnavailable(Exception):
    """A server is not to be had on this machine; the message says what to install."""
