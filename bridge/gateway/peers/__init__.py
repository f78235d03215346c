"""Peers: the rows of one answer, read on together once a loop over them is seen."""

from bridge.gateway.peers.peers import Peers

__all__ = ["Peers"]
