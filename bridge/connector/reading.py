"""Reads of the current rows of tables: in chunks for snapshots, by keys for lookups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bridge.connector.ask import Ask, ReaderFeatures
from bridge.connector.stream import Shape

Condition = Mapping[str, Any]
"""Source columns and the source values that they must equal; a sequence matches any of its
values.
"""


class Visibility(Protocol):
    """Which transactions a read has seen, by `SourceTransaction.visibility`. Immutable; does no
    I/O.
    """

    def contains(self, transaction: int) -> bool:
        """Whether the effects of that transaction were visible to the read."""

    def unseen(self) -> Iterable[int]:
        """Every transaction that was not visible although the source may have emitted it before the
        read. Empty if reads always show what was emitted.
        """


@dataclass(slots=True)
class Chunk:
    """Rows of a table in key order, read by one statement.

    shape: the columns of `rows`.
    rows: raw rows, in the form named by `shape.wire`.
    last: cursor after the last row (opaque to the caller, a list that JSON can hold); None at the
    end of the table.
    visibility: which transactions the statement saw; None without that capability.
    """

    shape: Shape
    rows: list[Any]
    last: list[Any] | None
    visibility: Visibility | None = None


class Snapshot(Protocol):
    """Reads tables in key-ordered chunks on a connection of its own, one call at a time.

    Every method raises RetryLater while the system is unavailable or the table locked (the caller
    closes this Snapshot and opens another one), ConfigurationError for a table that can't be read,
    Rejected for a condition that the system refuses. A cancelled call is followed by `close`.
    """

    async def count(self, table: str, where: Condition | None) -> int:
        """Estimate how many rows there are, without reading them; only shown to people."""

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """Return up to `limit` rows whose key is greater than `after` (a `Chunk.last`; None: from the
        beginning), in key order.

        A row that exists during the whole call is returned. Fewer rows than `limit` don't mean the
        end of the table: only `Chunk.last` None does.
        """

    async def close(self) -> None:
        """Close the connection. Never raises for one that is lost; may be called twice."""


@runtime_checkable
class ListsKeys(Protocol):
    """A Snapshot that can list keys more cheaply than rows; used if only deletes were missed
    (`Stale.deletes_only`).
    """

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """Return up to `limit` rows of the table's usual Shape with MISSING in all columns but the
        key's; order, cursor and errors as those of `chunk`.
        """


@dataclass(slots=True)
class Rows:
    """Raw rows of one answer, in the order that was asked for, otherwise in any order.

    shape: the columns of `rows`.
    rows: raw rows, in the form that `shape.wire` names.
    visibility: which transactions the query saw; None without that capability.
    server: names the database that answered and which of its histories it was in (of PostgreSQL the
    system identifier and the timeline), as far as the connector knows; "" where it doesn't. Of two
    answers that differ here, neither rows nor transactions may be compared.
    """

    shape: Shape
    rows: list[Any]
    visibility: Visibility | None = None
    server: str = ""


class Reader(Protocol):
    """Set-based lookups. `fetch` is called concurrently, up to the system's `limits.connections`."""

    @property
    def max_keys(self) -> int:
        """How many keys one Ask may carry, at least 1."""

    @property
    def features(self) -> ReaderFeatures:
        """Which parts of an Ask it can answer; the same during its life."""

    async def fetch(self, ask: Ask) -> Rows:
        """Return all rows that answer `ask`, in one query, in the Shape that the table has by now.

        Raises Rejected (`bad_key`) if one of the keys can't be queried (the caller bisects) or if a
        column doesn't exist, Rejected (`unsupported_query`) for a part that `features` doesn't have,
        RetryLater while the system is unavailable or if the deadline was over before the answer,
        ConfigurationError for a table that can't be read. May be cancelled at any time.
        """

    async def close(self) -> None:
        """Close all connections. Never raises for a lost one; may be called twice."""
