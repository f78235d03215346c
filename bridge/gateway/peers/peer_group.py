"""The rows of one answer: what was read for one of them, and what to read for the others. Pure.

A handler that awaits one read for each row of a list (`for line in lines: await ctx.related(line,
"product")`) never has two reads waiting, so no batch cures it. The second read by the same relation
shows the loop: it loads the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from bridge.model.provenance import TracedRow, peers_of, set_peers, untraced
from bridge.model.read_demands import ReadCause
from bridge.model.types import Entity

Values = tuple[Any, ...]

MAX_GROUP_ROWS: Final = 1_000
MAX_PEER_KEYS: Final = 1_000
"""Keys that one read loads for peers, its own included; fewer where a query takes fewer."""


class PeerAnswer(NamedTuple):
    """What a key was answered.

    rows: None or empty: there is none.
    asked_at, ended_at: when it was asked for and when the answer was there: seconds of the
    monotonic clock. It contains whatever was committed before `asked_at`.
    cause: on whose behalf; its event is in the answer.
    """

    rows: Sequence[TracedRow] | None
    asked_at: float
    ended_at: float
    cause: ReadCause | None = None


class PendingPeers(Protocol):
    """A load that hasn't ended. `asked_at`: as that of PeerAnswer."""

    @property
    def asked_at(self) -> float: ...


class RelationReads:
    """What was read by one relation of a group's rows.

    answers: by key, in the source's form.
    pending: keys that are being loaded for peers.
    joined: the group of all answers' rows, once there are several.
    positions: the keys of the group's rows, with their order; None: not needed yet.
    """

    __slots__ = ("_first", "_is_loop", "_loaded", "answers", "joined", "pending", "positions")

    def __init__(self) -> None:
        self.answers: dict[Values, PeerAnswer] = {}
        self.pending: dict[Values, PendingPeers] = {}
        self.positions: dict[Values, int] | None = None
        self.joined: PeerGroup | None = None
        self._first: Values | None = None
        self._is_loop = False
        self._loaded: set[Values] = set()

    def set_keys(self, keys: Iterable[Values | None]) -> None:
        """The key that each row of the group leads to; None: it leads nowhere."""
        distinct = dict.fromkeys(key for key in keys if key is not None)
        self.positions = {key: at for at, key in enumerate(distinct)}

    def note_ask(self, key: Values) -> bool:
        """A read by this key begins. Returns whether it is a loop's: another row's was answered
        before. Reads that wait at the same time share a query anyway.
        """
        if self._first is not None and key != self._first:
            self._is_loop = True
        return self._is_loop

    def keep(self, key: Values, answer: PeerAnswer) -> None:
        """A read was answered. Kept unless there is an answer that was asked for later."""
        if self._first is None:
            self._first = key
        before = self.answers.get(key)
        if before is None or before.asked_at <= answer.asked_at:
            self.answers[key] = answer

    def answer(self, key: Values, oldest: float) -> PeerAnswer | None:
        """The answer of a key, unless it was asked for before `oldest`."""
        answer = self.answers.get(key)
        return answer if answer is not None and answer.asked_at >= oldest else None

    def pending_since(self, key: Values, oldest: float) -> PendingPeers | None:
        """The load that will answer a key, unless it was asked for before `oldest`."""
        load = self.pending.get(key)
        return load if load is not None and load.asked_at >= oldest else None

    def rank(self, key: Values, oldest: float) -> int:
        """How well a read by this key fits: 2: it is answered, or will be; 1: others were read by
        the relation; 0: a row leads to it; -1: none does.
        """
        if self.positions is None or key not in self.positions:
            return -1
        if self.answer(key, oldest) is not None or self.pending_since(key, oldest) is not None:
            return 2
        return int(self._first is not None)

    def take_rest(self, key: Values, most: int) -> list[Values]:
        """At most so many keys of other rows to load with this one: those that come after it first,
        none that is known, and each only once, so that a slow loop doesn't load them again and
        again.
        """
        positions = self.positions or {}
        if len(self._loaded) >= len(positions):
            return []
        keys = list(positions)
        at = positions.get(key, -1) + 1
        rest: dict[Values, None] = {}
        for other in (*keys[at:], *keys[:at]):
            if len(rest) >= most:
                break
            if other == key or other in self._loaded:
                continue
            if other not in self.answers and other not in self.pending:
                rest[other] = None
        self._loaded.update(rest)
        return list(rest)

    def forget(self, keys: Iterable[Values]) -> None:
        """These keys weren't loaded after all."""
        self._loaded.difference_update(keys)

    def adopt(self, other: RelationReads) -> None:
        """What was read of rows that belong to this group by now."""
        self.answers = {**other.answers, **self.answers}
        self.pending = {**other.pending, **self.pending}
        self._loaded |= other._loaded
        self.joined = self.joined or other.joined
        self._is_loop = self._is_loop or other._is_loop or self._first not in {None, other._first}
        self._first = self._first if self._first is not None else other._first


class PeerGroup:
    """At most MAX_GROUP_ROWS rows of one entity that were answered together.

    rows: without what traces them, which leads to this group: no cycle, so that nothing outlives the
    rows that a handler holds.
    cause: on whose behalf they were read.
    """

    __slots__ = ("__weakref__", "_reads", "cause", "entity", "rows")

    def __init__(self, entity: Entity, rows: Sequence[Any], cause: ReadCause) -> None:
        self.entity = entity
        self.rows = rows
        self.cause = cause
        self._reads: dict[str, RelationReads] = {}

    def reads(self, relation: str) -> RelationReads:
        """What was read by a relation."""
        reads = self._reads.get(relation)
        if reads is None:
            reads = self._reads[relation] = RelationReads()
        return reads

    def adopt(self, other: PeerGroup) -> None:
        """The other's rows are of this group by now."""
        for relation, reads in other._reads.items():
            self.reads(relation).adopt(reads)

    def close(self) -> None:
        """Let go of everything: there are too many groups."""
        self.rows = ()
        self._reads = {}


def group_rows(entity: Entity, rows: Iterable[TracedRow], cause: ReadCause) -> Iterator[PeerGroup]:
    """Make the rows of one answer peers, and with them what was read of them before."""
    together = list(rows)
    for start in range(0, len(together), MAX_GROUP_ROWS):
        part = together[start : start + MAX_GROUP_ROWS]
        group = PeerGroup(entity, [untraced(row) for row in part], cause)
        earlier = {id(before): before for row in part if (before := peers_of(row)) is not None}
        for row in part:
            set_peers(row, group)
        for before in earlier.values():
            if before.cause is cause and len(before.rows) <= len(part):
                group.adopt(before)
        yield group
