"""Rows that one agent has read and that are still held: read again without leaving its own thread.

The file runs interpreted as it stands, and compiled with the C types of `held_rows.pxd`.

A read goes from the handlers' thread to the bridge's and back. What the copy of a system answered is
kept here with the entry that it came from; as long as that entry is held, it is the row at every
claim of the copy, so that one comparison of times answers the next read of it.

Why no lock is needed: the bridge's thread replaces `claim` and `visited` as a whole, and each is read
once. A change drops its entry, and so does a doubt about its key, before a claim that covers it is
published. So the claim is read first and the entry after it: one that is still held then is true at
the claim. That there was a hit is written by the bridge's thread, from `hits`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from bridge.agent.errors import NotFound
from bridge.model.read_demands import ReadDemands
from bridge.model.receipt import Receipt
from bridge.ports.entity_reads import EntityReads
from bridge.ports.held_entry import HeldSource, RowEntry

try:
    import cython
except ImportError:  # Cython is needed to compile this file, never to run it.
    from bridge.plan import uncompiled as cython


if not cython.compiled:
    # The compiled form has it in C.
    monotonic_seconds = monotonic


#: Whether this is the compiled form.
COMPILED: bool = bool(cython.compiled)

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of all rows that one agent keeps, with `ROW_BYTES` for each."""
ROW_BYTES: Final = 900
"""What a row takes here beside its key and its Avro bytes: it may be the last that refers to its entry,
and its fields' offsets are decoded."""


class HitCounter:
    """How many reads were answered; kept by who counts them when the agent and its rows are gone."""

    __slots__ = ("served",)

    def __init__(self) -> None:
        self.served = 0


class HeldEntity:
    """Rows of one entity, by the key as it was asked for.

    answers: how many reads were answered with what isn't held.
    counter: how many were answered here.
    """

    __slots__ = (
        "answers", "as_of", "claim", "counter", "hits", "max_staleness", "met", "newest", "position",
        "rows", "system",
    )  # fmt: skip

    def __init__(self, source: HeldSource) -> None:
        self.system = source.system
        self.claim = source.claim
        self.max_staleness = source.max_staleness
        self.hits = source.hits
        self.answers = 0
        self.counter = HitCounter()
        #: Of the last claim that was read.
        self.newest: Any = ""
        self.as_of = 0.0
        self.position = ""
        #: The position of an event that this claim contains.
        self.met: Any = None
        self.rows: dict[Any, Any] = {}


class KeptRow:
    """A row that was returned, and what is held of it."""

    __slots__ = ("entry", "row")

    def __init__(self, row: Any, entry: Any) -> None:
        self.row = row
        self.entry = entry


class HeldRows:
    """Used by the thread of one agent's handlers only.

    source: where rows of an entity (`system.entity`) are held; None: nowhere. May be called in any
    thread.
    clock: seconds, that of claims.
    """

    def __init__(
        self,
        source: Callable[[str], HeldSource | None],
        clock: Callable[[], float] = monotonic,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._source = source
        self._clock = clock
        self._is_monotonic = clock is monotonic
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entities: dict[str, Any] = {}

    @property
    def held_bytes(self) -> int:
        """Of what is kept."""
        return self._bytes

    def row(
        self, entity: str, key: Any, max_staleness: Any, event_system: str, event_position: str
    ) -> Any:
        """The row with that key, if it is still held, claimed to be no older than `max_staleness`
        seconds (None: the entity's) and than the event that is handled; else None.
        """
        held = self._entities.get(entity)
        if held is None:
            return None
        kept = held.rows.get(key)
        # Keys of other types may be equal to it: True, 1.0.
        if kept is None or not (type(key) is int or type(key) is str):
            return None
        # Before the entry: see above.
        claim = held.claim.claim
        if claim is not held.newest:
            if claim is None:
                return None
            held.newest, held.as_of, held.position = claim, claim.as_of, claim.position
            held.met = None
        entry = kept.entry
        visited = entry.visited
        if visited is not True:
            if visited is None:
                return None
            held.hits.append(entry)
        staleness = held.max_staleness
        if max_staleness is not None:
            if not (type(max_staleness) is float or type(max_staleness) is int):
                return None
            staleness = max_staleness
        now = monotonic_seconds() if self._is_monotonic else self._clock()
        if not (staleness >= 0 and held.as_of >= now - staleness):
            return None
        if event_position is not held.met and event_system == held.system:
            if event_position > held.position:
                return None
            held.met = event_position
        held.counter.served += 1
        return kept.row

    def answers(self, entity: str) -> int:
        """For `keep`, before the bridge is asked."""
        held = self._entities.get(entity)
        return 0 if held is None else held.answers

    def keep(self, entity: str, key: Any, row: Any, entry: RowEntry | None, answers: int) -> None:
        """The bridge has answered a read of that key with `row`.

        entry: that it is from, and that contains all that this agent has read of the row; None: it
        is from elsewhere, so that what is held may be older than what was read.
        answers: as before the bridge was asked. If it has answered anything from elsewhere since, and
        the agent's reads may have heard of it in another order, the row isn't kept.
        """
        held = self._entities.get(entity)
        if held is None:
            source = None if entry is None else self._source(entity)
            if source is None:
                return
            held = self._entities[entity] = HeldEntity(source)
            source.counters.append(held.counter)
        if not (type(key) is int or type(key) is str):
            return
        self._drop(held, key)
        if entry is None:
            held.answers += 1
        if entry is None or entry.payload is None or held.answers != answers:
            return
        size = _size(key, entry)
        while self._bytes + size > self._max_bytes and self._bytes:
            self._drop_oldest()
        if self._bytes + size <= self._max_bytes:
            self._bytes += size
            held.rows[key] = KeptRow(row, entry)

    def forget(self, entity: str) -> None:
        """The bridge has answered a read of rows of this entity that may be newer than what is held."""
        held = self._entities.get(entity)
        if held is not None:
            held.answers += 1
            for key in list(held.rows):
                self._drop(held, key)

    def _drop(self, held: Any, key: Any) -> None:
        kept = held.rows.pop(key, None)
        if kept is not None:
            self._bytes -= _size(key, kept.entry)

    def _drop_oldest(self) -> None:
        for held in self._entities.values():
            for key in held.rows:
                self._drop(held, key)
                return


def _size(key: Any, entry: Any) -> int:
    text = len(key) if type(key) is str else 0
    return ROW_BYTES + text + len(entry.key) + len(entry.payload)


class KeyedReads:
    """What a Context reads by key: from the rows that are held, else through the bridge.

    held: None: there are none.
    system, position: of the event that is handled.
    """

    __slots__ = ("_held", "_position", "_reads", "_system")

    def __init__(
        self, reads: EntityReads, held: HeldRows | None, system: str, position: str
    ) -> None:
        self._reads = reads
        self._held = held
        self._system = system
        self._position = position

    async def get(
        self,
        entity: str,
        key: Any,
        *,
        max_staleness: float | None = None,
        after: str | Receipt | None = None,
        fresh: bool = False,
        deadline: float | None = None,
        peers: bool = True,
    ) -> Any:
        """The row with that key (a mapping, or the bare value of a key of one field). Raises NotFound."""
        held = self._held
        if held is not None and after is None and deadline is None and fresh is False:
            row = held.row(entity, key, max_staleness, self._system, self._position)
            if row is not None:
                return row
        demands = self._demands(max_staleness, after, fresh, deadline, peers)
        row = await self._reads.get(entity, key, demands)
        if row is None:
            raise NotFound(entity, key)
        return row

    def _demands(
        self,
        max_staleness: float | None,
        after: str | Receipt | None,
        fresh: bool,
        deadline: float | None,
        peers: bool,
    ) -> ReadDemands:
        """What a read asks for, with the event that it is for."""
        raise NotImplementedError
