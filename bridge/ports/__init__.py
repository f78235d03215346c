"""Ports that several stages use: each stage depends on these Protocols, never on another stage."""
