"""How many connections each part of a connector opens, for ceilings over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from bridge.connector.system import System

ConnectedPart = Literal["capture", "commands", "catalogue", "reads"]


class ConnectionUse(NamedTuple):
    """What a part opens beside the reads, with `System.connections` 1.

    part: capture runs in one process of a bridge, commands and catalogue (for reads) in any number;
    reads, what the one process opens beside them that reads for all others.
    connections: at most, at the same time.
    purpose: of them, for people.
    """

    part: ConnectedPart
    connections: int
    purpose: str


@runtime_checkable
class CountsConnections(Protocol):
    """A Connector that knows how many connections its parts open."""

    def connection_uses(self, system: System) -> Sequence[ConnectionUse]:
        """Of every part. Makes no request."""


@runtime_checkable
class BoundsConnections(Protocol):
    """A Connector whose systems can refuse a login more connections than they allow it."""

    async def connection_bound(self, system: System) -> tuple[int | None, str]:
        """How many connections the system allows this login (None: any number), and the statement
        that sets it. Raises RetryLater while the system is unavailable, ConfigurationError.
        """
