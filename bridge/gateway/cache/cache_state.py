"""The cache of one system: rows, absences and lists that were read, kept right by its events. Pure.

Order of calls: `begin_read` before a read is sent; `fill` and `fill_list` with what it brought;
`end_read` in any case. The follower applies every record once, per key in log order, to `apply`,
and publishes `freshness` after what it covers was applied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from bridge.connector import Visibility
from bridge.gateway.cache.change_effect import EffectRules, EntityChange, RowEffect
from bridge.gateway.cache.entry import Claim, EntryTable, Fill, RowEntry, Scope, frozen_claim
from bridge.gateway.cache.fences import ALWAYS, Fence, Fences, InFlight
from bridge.gateway.cache.held_answers import HeldAnswers, held_origin
from bridge.gateway.cache.lists import ListEntry, ListKey, Lists, fence_affects, values_of
from bridge.gateway.cache.stored_answers import StoredAnswers
from bridge.model.errors import RetryLater

MAX_HITS: Final = 10_000
"""Hits by other threads between two fills; of more the earliest count for nothing."""


class CacheBounds(NamedTuple):
    """What a cache holds at most.

    bytes: of rows, lists and their indexes.
    fenced_keys, transactions: see `Fences`.
    answers: see `StoredAnswers`.
    """

    bytes: int = 64 * 1024 * 1024
    fenced_keys: int = 100_000
    transactions: int = 100_000
    answers: int = 100_000


class ReadAnswer(NamedTuple):
    """What a read came back with.

    read: as `begin_read` returned it.
    visibility: which transactions it shows; None where the system's reads don't report it.
    ended_at: when it came back, in seconds of the clock of `begin_read`.
    claim: how fresh it is by itself; opaque.
    server: `Rows.server` of the answer.
    """

    read: InFlight
    visibility: Visibility | None
    ended_at: float
    claim: Any = None
    server: str = ""


class CacheState:
    """Used by one thread; no method waits.

    event_scope: the scope whose reads would bring what events bring (capture's login); rows of
    other scopes are dropped where these are replaced.
    reports_visibility: the capability of the system's reads.
    allowance: seconds; see `EffectRules`.
    list_fields: by entity the fields that lists are expected to be by (declared relations).
    server: see `reset`.
    """

    def __init__(
        self,
        event_scope: Scope,
        *,
        reports_visibility: bool,
        allowance: float,
        bounds: CacheBounds = CacheBounds(),  # noqa: B008 - immutable
        list_fields: Mapping[str, Iterable[str]] | None = None,
        server: str = "",
    ) -> None:
        #: Entries that others have hit, for `visited`, which only this thread writes.
        self.hits: deque[RowEntry] = deque(maxlen=MAX_HITS)
        #: How fresh the follower is: opaque, replaced as a whole; None before anything is proved.
        self.freshness: Any = None
        #: The server whose answers are stored.
        self.server = server
        self._event_scope = event_scope
        self._reports_visibility = reports_visibility
        self._rules = EffectRules(reports_visibility=reports_visibility, allowance=allowance)
        self._fences = Fences(
            reports_visibility=reports_visibility,
            allowance=allowance,
            max_keys=bounds.fenced_keys,
            max_transactions=bounds.transactions,
        )
        self._stored = StoredAnswers(bounds.answers)
        self._list_fields = {name: set(of) for name, of in (list_fields or {}).items()}
        self._held = HeldAnswers(bounds.bytes, lambda: self.freshness)
        self._fills: WeakValueDictionary[int, Fill] = WeakValueDictionary()
        self._fill_number = 0

    def __len__(self) -> int:
        """How many entries and lists are held."""
        return len(self._held)

    @property
    def event_scope(self) -> Scope:
        """The scope whose reads would bring what events bring."""
        return self._event_scope

    @property
    def reports_visibility(self) -> bool:
        """Whether the system's reads report which transactions they show."""
        return self._reports_visibility

    @property
    def held_bytes(self) -> int:
        """Bytes of what is held, with its indexes."""
        return self._held.held_bytes

    @property
    def fences(self) -> Fences:
        """For counts: keys and transactions that are fenced."""
        return self._fences

    @property
    def lists(self) -> Lists:
        """For counts: lists that are held, and their indexes."""
        return self._held.lists

    @property
    def is_full(self) -> bool:
        """Whether `apply` has to wait for a read: see `Fences.is_full`."""
        return self._fences.is_full

    def get(self, scope: Scope, entity: str, key: bytes) -> RowEntry | None:
        """What is held of a key: an RowEntry, whose payload None is an absence; None: nothing."""
        entry = self._held.row(scope, entity, key)
        if entry is not None:
            entry.visited = True
        return entry

    def table(self, scope: Scope, entity: str) -> EntryTable:
        """What is held of an entity and scope, always the same object: for hits without `get`, by its
        own `get` and `visited = True` on the entry. Nobody else changes it.
        """
        return self._held.table(scope, entity)

    def get_list(self, key: ListKey) -> ListEntry | None:
        """What is held of a list."""
        entry = self._held.list_of(key)
        if entry is not None:
            entry.visited = True
        return entry

    def claim_of(self, entry: RowEntry | ListEntry) -> Claim:
        """How fresh a row or list is that was handed out, held or not."""
        return frozen_claim(entry.origin, self.freshness)

    def begin_read(self, now: float) -> InFlight:
        """Register a read before it is sent. `now`: seconds, never less than in earlier calls."""
        return self._fences.begin(now)

    def end_read(self, read: InFlight, answer: ReadAnswer | None) -> None:
        """The read has come back and its fills were made; or it failed (None)."""
        usable = answer is not None and answer.server == self.server
        self._fences.end(read, answer.visibility if answer is not None and usable else None)
        self._stored.release(self._fences.earliest_in_flight())

    def fill(
        self,
        answer: ReadAnswer,
        scope: Scope,
        entity: str,
        rows: Iterable[tuple[bytes, Any]],
    ) -> int:
        """Store keys and payloads (None: no such row) that the read brought; how many were stored."""
        read, visibility = answer.read, answer.visibility
        self._note_hits()
        if self._is_unusable(answer):
            return 0
        origin = self._fill(answer, scope, entity)
        stored = 0
        for key, payload in rows:
            name = (scope, entity, key)
            if self._fences.refuses(entity, key, read, visibility) or self._stored.refuses(
                name, read, visibility
            ):
                continue
            self._stored.store(name, self._fences.last_read, visibility)
            stored += self._held.put(RowEntry(key, payload, origin))
        return stored

    def fill_list(
        self,
        answer: ReadAnswer,
        key: ListKey,
        rows: Iterable[tuple[bytes, Any]],
    ) -> bool:
        """Store a list that the read brought; whether it was stored."""
        kept = self._list_fields.setdefault(key.entity, set())
        kept.update(key.shape.fields)
        read, visibility = answer.read, answer.visibility
        if self._is_unusable(answer):
            return False
        members, payloads = [], []
        for member, payload in rows:
            members.append(member)
            payloads.append(payload)
        matches, of = frozenset(key.matches), frozenset(members)

        def affects(fence: Fence) -> bool:
            return fence_affects(fence, key.shape, matches, of)

        if self._fences.refuses_list(key.entity, read, visibility, affects) or self._stored.refuses(
            key, read, visibility
        ):
            return False
        self._stored.store(key, self._fences.last_read, visibility)
        origin = self._fill(answer, key.scope, key.entity)
        return self._held.put_list(ListEntry(key, tuple(members), tuple(payloads), origin))

    def apply(self, change: EntityChange) -> None:
        """Apply a record. Raises RetryLater, and applies nothing, while `is_full`."""
        self._check_room()
        self._fences.add(
            change.entity,
            change.key,
            self._kept_values(change),
            change.transaction,
            change.captured_at,
        )
        for listed in self._held.affected_lists(change.entity, change.key, change.after):
            self._apply_to_list(change, listed)
        for entry in self._held.rows(change.entity, change.key):
            self._apply_to_entry(change, entry)

    def drop(self, entity: str, key: bytes) -> None:
        """Forget a row, its absence and its lists; what is being read of it isn't stored. For changes
        without a record, such as an own command whose receipt has no position.
        """
        # Nobody knows which lists its new values match.
        self._fences.add(entity, key, {}, None, ALWAYS)
        for entry in self._held.rows(entity, key):
            self._held.drop(entry)
        for listed in self._held.lists_of(entity):
            self._held.drop(listed)

    def evict(self, scope: Scope, entity: str, key: bytes) -> None:
        """Hold a key no longer, as if its memory were needed: reads of it may be stored."""
        entry = self._held.row(scope, entity, key)
        if entry is not None:
            self._held.drop(entry)

    def truncate(self, entity: str, transaction: int | None, captured_at: float) -> None:
        """All rows of an entity are gone. Raises RetryLater, and does nothing, while `is_full`."""
        self._check_room()
        self._fences.add(entity, None, None, transaction, captured_at)
        self._held.drop_entity(entity)

    def epoch(self, entity: str) -> None:
        """The entity begins another epoch: nothing that was read before is held or stored."""
        self._fences.add(entity, None, None, None, ALWAYS)
        self._held.drop_entity(entity)

    def reset(self, server: str) -> None:
        """Answers come from this server, or timeline, from now on; those of others aren't stored. All
        goes, fences too: whatever was applied has to be visible there to reads that begin from now on.
        """
        self.server = server
        self._fences.clear()
        self._stored.refuse_up_to(self._fences.last_read)
        self._held.drop_all()

    @property
    def last_fill(self) -> int:
        """For `settle`, when a barrier is written into the source."""
        return self._fill_number

    def settle(self, last_fill: int) -> None:
        """The follower has passed a barrier that was written when `last_fill` was this. What the fills
        up to it show was applied, so that their visibility is needed no longer (and PostgreSQL's
        ids, which come again after 2**32, can't be mistaken).
        """
        for number, fill in list(self._fills.items()):
            if number <= last_fill:
                fill.settle()
                del self._fills[number]

    def _note_hits(self) -> None:
        """Before anything is evicted."""
        hits = self.hits
        while hits:
            entry = hits.popleft()
            if entry.visited is not None:
                entry.visited = True

    def _check_room(self) -> None:
        if self._fences.is_full:
            raise RetryLater(
                f"no read has shown {self._fences.transaction_count} transactions that were "
                "applied; read any row, then continue"
            )

    def _is_unusable(self, answer: ReadAnswer) -> bool:
        return answer.server != self.server or (
            self._reports_visibility and answer.visibility is None
        )

    def _apply_to_entry(self, change: EntityChange, entry: RowEntry) -> None:
        origin = held_origin(entry)
        same_scope = origin.scope == self._event_scope
        effect = self._rules.of(change, entry.payload, origin, same_scope=same_scope)
        if effect is RowEffect.REPLACE:
            table = self._held.table(origin.scope, origin.entity)
            applied = RowEntry(change.key, change.payload, table.applied)
            applied.visited = entry.visited
            self._held.put(applied)
        elif effect is not RowEffect.KEEP:
            self._held.drop(entry)

    def _apply_to_list(self, change: EntityChange, entry: ListEntry) -> None:
        if self._rules.shows(held_origin(entry), change.transaction):
            return
        if change.key in entry.members:
            held = entry.payloads[entry.members.index(change.key)]
            if change.payload is not None and self._rules.equals(change, held):
                return
        self._held.drop(entry)

    def _kept_values(self, change: EntityChange) -> dict[str, Any] | None:
        if change.after is None:
            return None
        kept = {}
        for field in self._list_fields.get(change.entity, ()):
            values = values_of(change.after, (field,))
            if values is not None:
                kept[field] = values[0]
        return kept

    def _fill(self, answer: ReadAnswer, scope: Scope, entity: str) -> Fill:
        fill = Fill(entity, scope, answer.visibility, answer.ended_at, answer.claim)
        self._fill_number += 1
        if answer.visibility is not None:
            self._fills[self._fill_number] = fill
        return fill
