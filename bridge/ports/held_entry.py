"""What is held of a row, and what is claimed of its entity: written by the bridge's thread, read by others.

The file runs interpreted as it stands, and compiled with the C types of `held_entry.pxd`: an entry
takes a quarter less then, and the garbage collector doesn't visit it. So an entry must not be part
of a circle of references.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol, runtime_checkable

from bridge.model.freshness import Freshness

try:
    import cython
except ImportError:  # Cython is needed to compile this file, never to run it.
    from bridge.plan import uncompiled as cython

#: Whether this is the compiled form.
COMPILED: bool = bool(cython.compiled)


@cython.no_gc
@cython.cclass
class RowEntry:
    """A row that is held, or that there is none. The row in somebody's hand refers to it, so that
    its claim grows with the follower's for as long as it is held, and no longer.

    key: of the log, less its schema id.
    payload: opaque, compared with `==` (the framed Avro bytes of the row); None: there is no row.
    origin: what brought it, and its claim, frozen, once it is held no longer.
    visited: True after a hit; None once it is held no longer.
    """

    __slots__ = ("key", "origin", "payload", "visited")

    def __init__(self, key: bytes, payload: Any, origin: Any) -> None:
        self.key = key
        self.payload = payload
        self.origin = origin
        self.visited: bool | None = False


class EntityClaim:
    """What is claimed of one entity: for hits without a call. Always the same object per entity; only
    the copy changes it, each attribute as a whole, so that any thread may read it.

    claim: of all rows that aren't in `doubtful`; None: the entity is in doubt.
    doubtful: the keys of rows in doubt; nearly always empty.
    """

    __slots__ = ("claim", "doubtful")

    def __init__(self) -> None:
        self.claim: Freshness | None = None
        self.doubtful: Collection[bytes] = frozenset()


class SupportsServed(Protocol):
    """Counts what it answers; any thread may read it."""

    @property
    def served(self) -> int: ...


class HeldSource(NamedTuple):
    """Where rows of an entity are held.

    system: its name.
    claim: of the entity; always the same object.
    max_staleness: seconds; the entity's.
    hits: takes entries that were hit though nobody knew of a hit; whoever holds them takes them out.
    counters: takes whoever answers from them; its `served` says how often it has.
    """

    system: str
    claim: EntityClaim
    max_staleness: float
    hits: deque[RowEntry]
    counters: list[SupportsServed]


@runtime_checkable
class SupportsHeldRows(Protocol):
    """Reads whose rows may be held."""

    def held_source(self, entity: str) -> HeldSource | None:
        """Where rows of an entity (`system.entity`) are held; None: nowhere. Callable in any thread."""
