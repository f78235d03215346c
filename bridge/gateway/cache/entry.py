"""What the cache holds of one key, and the bytes that it really takes."""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final, NamedTuple

from bridge.connector import Visibility
from bridge.ports.held_entry import RowEntry

ENTRY_BYTES: Final = 150
"""A RowEntry, its slot of the dictionary and of the queue: 48 (interpreted 64) + 30 to 60 + 8 to 16,
rounded up.
"""


class Scope(NamedTuple):
    """Whose rows they are: answers of one scope never serve another.

    tenant: the tenant, empty where there is one.
    login: the login, or the rights, with which the source was read.
    """

    tenant: str
    login: str


class Fill:
    """What all rows of one answer share. It doesn't refer to them: entries are not part of circles.

    entity, scope: whose rows they are.
    visibility: which transactions the answer shows; None where the source doesn't report it, or
    once everything that it shows was applied (`CacheState.settle`).
    ended_at: when the answer came, in seconds of the reader's clock; minus infinity where every
    later event is known to be newer.
    claim: how fresh the answer itself is; opaque.
    """

    __slots__ = ("__weakref__", "claim", "ended_at", "entity", "scope", "visibility")

    def __init__(
        self,
        entity: str,
        scope: Scope,
        visibility: Visibility | None,
        ended_at: float,
        claim: Any = None,
    ) -> None:
        self.entity = entity
        self.scope = scope
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


class EntryTable(dict[bytes, RowEntry]):
    """The entries of one entity and scope, by the bytes of the log's key less its schema id."""

    __slots__ = ("applied", "entity", "scope")

    def __init__(self, entity: str, scope: Scope) -> None:
        super().__init__()
        self.entity = entity
        self.scope = scope
        #: Shared by all rows that events brought.
        self.applied = Fill(entity, scope, None, float("-inf"))


def frozen_claim(origin: Fill | Claim, follower: Any) -> Claim:
    """The claim of what has this origin, the follower being as fresh as `follower`."""
    return Claim(origin.claim, follower) if isinstance(origin, Fill) else origin


def entry_bytes(entry: RowEntry) -> int:
    """Bytes that an entry takes, with its key and its row."""
    payload = 0 if entry.payload is None else getsizeof(entry.payload)
    return ENTRY_BYTES + getsizeof(entry.key) + payload


__all__ = ["Claim", "EntryTable", "Fill", "RowEntry", "Scope", "entry_bytes", "frozen_claim"]
