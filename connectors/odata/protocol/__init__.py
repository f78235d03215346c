"""What goes over the wire: URLs, literals, values, requests and responses. Pure."""
