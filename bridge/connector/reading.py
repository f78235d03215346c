"""Reads of tables as they are: in chunks for snapshots, by keys for look-ups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bridge.connector.stream import Shape
from bridge.model.errors import Rejected

Condition = Mapping[str, Any]
"""Entity fields and the values that they must equal; the value may be a sequence (any of)."""


class Visibility(Protocol):
    """Which transactions a read has seen."""

    def contains(self, transaction: int) -> bool:
        """Whether the effects of that transaction (`Transaction.visibility`) were visible."""

    def unseen(self) -> Iterable[int]:
        """Every transaction (as in `Transaction.visibility`) that had begun by then, may have been
        told by the source already, and was not visible. Empty where reads show what is told.
        """


@dataclass(slots=True)
class Chunk:
    """Rows of a table in key order, read by one statement.

    `rows` raw rows of `shape`; `last` resumes behind the last row (opaque, JSON-able list of
    the key columns' text) and is None when the table is at its end.
    """

    shape: Shape
    rows: list[Any]
    last: list[Any] | None
    visibility: Visibility | None = None


class Snapshot(Protocol):
    """Reads a table in key-ordered chunks on a connection of its own."""

    async def count(self, table: str, where: Condition | None) -> int:
        """A quick estimate for progress bars."""

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """The next `limit` rows behind `after`. `where` is in source columns and values."""

    async def close(self) -> None: ...


@runtime_checkable
class ListsKeys(Protocol):
    """A Snapshot that can list keys for less than whole rows: asked for where only deletes are
    missed (`Stale.deletes_only`).
    """

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """As `chunk`, of the table's usual Shape, with MISSING in all columns but the key's."""


@dataclass(slots=True)
class Rows:
    """Raw rows of one lookup: aligned with nothing, the caller aligns them by key."""

    shape: Shape
    rows: list[Any]
    visibility: Visibility | None = None


def distinct_keys(
    table: str, columns: Sequence[str], keys: Sequence[tuple[Any, ...]], most: int
) -> list[tuple[Any, ...]]:
    """The keys of a lookup that can find anything, none twice: one that holds a null equals nothing.

    For readers: `most` is their `max_keys`. Raises Rejected (`bad_key`) for keys that don't fit.
    """
    if len(keys) > most:
        raise Rejected("bad_key", f"{len(keys)} keys for {table!r} in one lookup: at most {most}")
    if keys and not columns:
        raise Rejected("bad_key", f"keys for {table!r} without columns")
    if any(len(key) != len(columns) for key in keys):
        raise Rejected("bad_key", f"a key for {table!r} has not {len(columns)} values")
    return list(dict.fromkeys(key for key in keys if None not in key))


class Reader(Protocol):
    """Set-based lookups for the gateway; every read goes through it."""

    async def fetch(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None = None,
    ) -> Rows:
        """All rows whose `columns` equal one of `keys` (source values), in one query.

        `keys` empty and `columns` empty: all rows, up to `limit`. Raises RetryLater, or
        Rejected (`bad_key`) when one of the keys can't be asked for (the caller bisects).
        """

    @property
    def max_keys(self) -> int:
        """How many keys one query may carry."""

    async def close(self) -> None: ...
