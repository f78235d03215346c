"""What the cache holds of one key, and the bytes that it really takes."""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final, NamedTuple

from bridge.connector import Visibility

ENTRY_BYTES: Final = 150
"""An RowEntry, its slot of the dictionary and of the queue: 64 + 30 to 60 + 8 to 16, rounded up."""


class Scope(NamedTuple):
    """Whose rows they are: answers of one scope never serve another.

    tenant: the tenant, empty where there is one.
    login: the login, or the rights, with which the source was read.
    """

    tenant: str
    login: str


class Fill:
    """What all rows of one answer share.

    table: the rows of the same entity and scope.
    visibility: which transactions the answer shows; None where the source doesn't report it, or
    once everything that it shows was applied (`CacheState.settle`).
    ended_at: when the answer came, in seconds of the reader's clock; minus infinity where every
    later event is known to be newer.
    claim: how fresh the answer itself is; opaque.
    """

    __slots__ = ("__weakref__", "claim", "ended_at", "table", "visibility")

    def __init__(
        self,
        table: EntryTable,
        visibility: Visibility | None,
        ended_at: float,
        claim: Any = None,
    ) -> None:
        self.table = table
        self.visibility = visibility
        self.ended_at = ended_at
        self.claim = claim

    def settle(self) -> None:
        """Every event from here on is newer than the answer."""
        self.visibility = None
        self.ended_at = float("-inf")


class Claim(NamedTuple):
    """How fresh a row is: the younger of both.

    read: of the answer that brought it; None for a row of an event.
    follower: of the follower, while the row was still held.
    """

    read: Any
    follower: Any


class EntryTable(dict[bytes, "RowEntry"]):
    """The entries of one entity and scope, by the bytes of the log's key less its schema id."""

    __slots__ = ("applied", "entity", "scope")

    def __init__(self, entity: str, scope: Scope) -> None:
        super().__init__()
        self.entity = entity
        self.scope = scope
        #: Shared by all rows that events brought.
        self.applied = Fill(self, None, float("-inf"))


class RowEntry:
    """A row that is held, or that there is none. The row in somebody's hand refers to it, so that
    its claim grows with the follower's for as long as it is held, and no longer.

    key: as in its EntryTable.
    payload: opaque, compared with `==` (the framed Avro bytes of the row); None: there is no row.
    origin: the Fill, and the Claim that was frozen once the entry is held no longer.
    visited: True after a hit; None once it is held no longer.
    """

    __slots__ = ("key", "origin", "payload", "visited")

    def __init__(self, key: bytes, payload: Any, origin: Fill) -> None:
        self.key = key
        self.payload = payload
        self.origin: Fill | Claim = origin
        self.visited: bool | None = False


def frozen_claim(origin: Fill | Claim, follower: Any) -> Claim:
    """The claim of what has this origin, the follower being as fresh as `follower`."""
    return Claim(origin.claim, follower) if isinstance(origin, Fill) else origin


def entry_bytes(entry: RowEntry) -> int:
    """Bytes that an entry takes, with its key and its row."""
    payload = 0 if entry.payload is None else getsizeof(entry.payload)
    return ENTRY_BYTES + getsizeof(entry.key) + payload
