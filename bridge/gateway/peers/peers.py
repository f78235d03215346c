"""Reads of rows whose peers are read on with them, once a loop over them is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from bridge.gateway.key_lookup import KeyLookup, Rows
from bridge.gateway.peers.group_registry import GroupRegistry
from bridge.gateway.peers.latest_reads import LatestReads, Seen
from bridge.gateway.peers.peer_group import (
    MAX_PEER_KEYS,
    PeerAnswer,
    PeerGroup,
    RelationReads,
    Values,
    group_rows,
)
from bridge.gateway.peers.peer_load import PeerLoad
from bridge.gateway.read_bounds import BoundWindow, visibility_bound
from bridge.gateway.source_reads import SourceReads
from bridge.model.errors import BridgeError
from bridge.model.provenance import TracedRow, peers_of, set_peers, untraced
from bridge.model.read_demands import ReadDemands
from bridge.model.specs import DEFAULT_MAX_STALENESS_S
from bridge.model.types import Entity, Relation
from bridge.observe import Observer, PeersRead
from bridge.ports.entity_mapping import EntityMapping

KeysOfRows = Callable[[Sequence[Any]], Sequence[Values | None]]
"""The key that a relation leads to from each row, in the source's form; None: it leads nowhere."""


class PeerLink(NamedTuple):
    """One row's step along a relation.

    group: of that row. relation: its name. lookup, key: what it leads to. keys_of: the same of any
    rows of the group.
    """

    group: PeerGroup
    relation: str
    lookup: KeyLookup
    key: Values
    keys_of: KeysOfRows


class Peers:
    """The peers of one system's reads, for causes: handlers that read while they handle an event.

    staleness: bare entity name -> its `max_staleness` in seconds, where it isn't the default.
    has_copy: whether answers of queries are kept by a copy of the system: then reads are answered by
    that, with its claims, and what is read for peers only fills it.
    clock: monotonic seconds. All methods belong to one event loop.
    """

    def __init__(
        self,
        system: str,
        reads: SourceReads,
        observer: Observer,
        *,
        staleness: Mapping[str, float],
        is_on: bool = True,
        has_copy: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._system = system
        self._bounds = reads.bounds
        self._answers = reads.answers
        self._most = min(reads.max_keys, MAX_PEER_KEYS) - 1
        self._observer = observer
        self._staleness = staleness
        self._is_on = is_on
        self._has_copy = has_copy
        self._clock = clock
        self._latest: dict[str, LatestReads] = {}
        # Without groups there are no answers that could go back.
        self.registry = GroupRegistry(on_empty=self._latest.clear)
        self._list_fields: dict[str, set[tuple[str, ...]]] = {}

    def switch_off(self) -> None:
        """No read has peers from now on."""
        self._is_on = False

    def serves(self, demands: ReadDemands) -> bool:
        """Whether a read with these demands may be answered with what was read for a peer."""
        return (
            demands.cause is not None
            and demands.peers
            and not demands.fresh
            and demands.after is None
            and demands.max_staleness != 0
            and self._is_on
        )

    def group(self, table: EntityMapping, rows: Sequence[Any], demands: ReadDemands) -> None:
        """These rows were one answer: they are peers from now on. Rows without relations lead
        nowhere, and one row alone has no peers.
        """
        if len(rows) > 1 and table.entity.relations and self.serves(demands):
            self._make_groups(table.entity, rows, demands)

    async def read(self, link: PeerLink, demands: ReadDemands) -> Rows | None:
        """The answer of the link's key: what was read for it as a peer, or by a query, with the
        peers' keys in it if another row's read by the relation came before.

        Raises and is cancelled as a read of the lookup; never raises because of a peer.
        """
        reads = link.group.reads(link.relation)
        if self._has_copy:
            return await self._read_on(link, reads, demands)
        oldest = self._oldest(link.lookup.table, demands)
        load = reads.pending_since(link.key, oldest)
        if isinstance(load, PeerLoad) and load.cause is demands.cause:
            await load.wait()
        answer = reads.answer(link.key, oldest)
        if answer is not None and self._may_serve(link, answer, demands):
            entity = link.lookup.table.entity
            self._answers.of(entity.name).peers += 1
            self._observer(PeersRead(self._system, entity.qualified, 0, 1))
            return answer.rows
        return await self._read_on(link, reads, demands)

    def adopt(self, link: PeerLink, rows: Rows) -> None:
        """These rows answered the link, whoever had them: they are peers of what was read for the
        others.
        """
        joined = link.group.reads(link.relation).joined
        if joined is not None:
            for row in rows:
                if peers_of(row) is None:
                    set_peers(row, joined)

    def leading_to(
        self, table: EntityMapping, demands: ReadDemands
    ) -> list[tuple[PeerGroup, Relation]]:
        """Groups that the cause has read, with their relations to one row of that entity."""
        if demands.cause is None or not self.registry or not self.serves(demands):
            return []
        return self.registry.leading_to(demands.cause, table.entity.name)

    def choose(self, links: Iterable[PeerLink], demands: ReadDemands) -> PeerLink | None:
        """The one whose group has a row that leads to its key: rather one that has the answer, or
        has been asked by this relation before. None: no group has.
        """
        best, best_rank = None, -1
        for link in links:
            reads = link.group.reads(link.relation)
            self._set_keys(link, reads)
            rank = reads.rank(link.key, self._oldest(link.lookup.table, demands))
            if rank > best_rank:
                best, best_rank = link, rank
        return best

    def note(
        self,
        lookup: KeyLookup,
        keys: Sequence[Values],
        answers: Sequence[Rows | None],
        demands: ReadDemands,
    ) -> None:
        """The cause's reader was given these answers of a live read, which has just ended."""
        if self._latest and (latest := self._latest_of(lookup.table, demands)) is not None:
            now = self._clock()
            for key, rows in zip(keys, answers, strict=True):
                latest.note(self._seen(lookup, key, rows), now)

    def note_rows(
        self, table: EntityMapping, rows: Sequence[TracedRow], demands: ReadDemands
    ) -> None:
        """As `note`, of a query by conditions."""
        if self._latest and (latest := self._latest_of(table, demands)) is not None:
            latest.note(
                [each for row in rows for each in self._seen_row(table, row)], self._clock()
            )

    async def _read_on(
        self, link: PeerLink, reads: RelationReads, demands: ReadDemands
    ) -> Rows | None:
        asked_at = self._clock()
        self._watch(link.lookup, demands)
        batches = link.lookup.batches
        window = self._open_window(link.lookup.table, demands)
        try:
            waiter = batches.load(link.key)
            load = self._load_rest(link, reads, demands) if reads.note_ask(link.key) else None
            try:
                rows = await waiter
            except BaseException as error:
                is_cancelled = isinstance(error, asyncio.CancelledError)
                if is_cancelled:
                    batches.leave()
                if load is not None:
                    load.release(cancelled=is_cancelled)
                raise
        finally:
            is_missed = window.close()
        if not is_missed:
            answer = PeerAnswer(rows, asked_at, self._clock(), demands.cause)
            self._keep(link, reads, answer, demands)
        if load is not None:
            load.release(cancelled=False)
        self.note(link.lookup, (link.key,), (rows,), demands)
        return rows

    def _load_rest(
        self, link: PeerLink, reads: RelationReads, demands: ReadDemands
    ) -> PeerLoad | None:
        self._set_keys(link, reads)
        keys = reads.take_rest(link.key, self._most)
        if not keys:
            return None
        asked_at, table = self._clock(), link.lookup.table
        window = self._open_window(table, demands)

        def hand_over(rows_by_key: dict[Values, Rows | None]) -> None:
            ended_at = self._clock()
            for key in keys:
                reads.pending.pop(key, None)
            if window.close():
                # The server didn't show the event yet: what it answered is of no use to the cause.
                reads.forget(keys)
                return
            for key, rows in rows_by_key.items():
                reads.keep(key, PeerAnswer(rows, asked_at, ended_at, demands.cause))
            self.registry.grow(link.group, sum(len(rows or ()) for rows in rows_by_key.values()))
            self._observer(PeersRead(self._system, table.entity.qualified, len(rows_by_key), 0))
            self._join_answers(table.entity, reads, demands)

        load = PeerLoad(link.lookup.batches, keys, asked_at, demands.cause, hand_over)
        load.hold()
        reads.pending.update(dict.fromkeys(keys, load))
        return load

    def _open_window(self, table: EntityMapping, demands: ReadDemands) -> BoundWindow:
        bound = visibility_bound(demands, self._system)
        return BoundWindow(self._bounds, table.entity.name, bound)

    @staticmethod
    def _set_keys(link: PeerLink, reads: RelationReads) -> None:
        if reads.positions is None:
            reads.set_keys(link.keys_of(link.group.rows))

    def _keep(
        self, link: PeerLink, reads: RelationReads, answer: PeerAnswer, demands: ReadDemands
    ) -> None:
        """Keep what was read for one row, so that it is a peer of what is read for the others."""
        reads.keep(link.key, answer)
        rows = answer.rows or ()
        self.registry.grow(link.group, len(rows))
        entity = link.lookup.table.entity
        if entity.relations and rows and peers_of(rows[0]) is None:
            self._make_groups(entity, rows, demands)

    def _join_answers(self, entity: Entity, reads: RelationReads, demands: ReadDemands) -> None:
        """The rows of all answers by a relation are one group: a chain of relations continues
        there, with what was read of the first before.
        """
        rows = [row for answer in reads.answers.values() for row in answer.rows or ()]
        if entity.relations and rows:
            reads.joined = self._make_groups(entity, rows, demands)

    def _make_groups(
        self, entity: Entity, rows: Sequence[TracedRow | None], demands: ReadDemands
    ) -> PeerGroup | None:
        """Make them peers. Returns the last group of theirs."""
        assert demands.cause is not None, "only causes have groups"  # noqa: S101
        traced = [row for row in rows if type(row) is TracedRow]
        group = None
        for group in group_rows(entity, traced, demands.cause):
            self.registry.add(group)
        return group

    def _oldest(self, table: EntityMapping, demands: ReadDemands) -> float:
        """When an answer has to have been asked for, at the earliest."""
        staleness = demands.max_staleness
        if staleness is None:
            staleness = self._staleness.get(table.entity.name, DEFAULT_MAX_STALENESS_S)
        return self._clock() - staleness

    def _may_serve(self, link: PeerLink, answer: PeerAnswer, demands: ReadDemands) -> bool:
        """Whether the reader has seen nothing of it that is later; notes it if so."""
        if not self._is_of_cause(answer, demands):
            return False
        latest = self._latest_of(link.lookup.table, demands)
        if latest is None:
            return True
        seen = self._seen(link.lookup, link.key, answer.rows)
        if not latest.allows(seen, answer.asked_at):
            return False
        latest.note(seen, answer.ended_at)
        return True

    @staticmethod
    def _is_of_cause(answer: PeerAnswer, demands: ReadDemands) -> bool:
        """Whether it was asked for on this behalf: another's may not show this one's event."""
        return answer.cause is demands.cause

    def _watch(self, lookup: KeyLookup, demands: ReadDemands) -> None:
        """What the reader reads of the entity is noted from now on, also by the lists of this
        look-up.
        """
        assert demands.cause is not None, "only causes have peers"  # noqa: S101
        entity = lookup.table.entity
        self._latest.setdefault(demands.cause.reader, LatestReads()).entities.add(entity.name)
        if lookup.fields != entity.key:
            self._list_fields.setdefault(entity.name, set()).add(lookup.fields)

    def _latest_of(self, table: EntityMapping, demands: ReadDemands) -> LatestReads | None:
        """What is noted of the reader's reads of this entity."""
        if demands.cause is None or (latest := self._latest.get(demands.cause.reader)) is None:
            return None
        return latest if table.entity.name in latest.entities else None

    def _seen(self, lookup: KeyLookup, key: Values, rows: Rows | None) -> list[Seen]:
        """What an answer shows: the row or list itself, or that there is none, and its rows."""
        table = lookup.table
        name, fields = table.entity.name, lookup.fields
        # No list itself: its rows would keep their groups. No two answers share a row.
        seen: list[Seen] = [((name, fields, key), untraced(rows[0]) if rows else None)]
        for row in rows or ():
            seen += self._seen_row(table, row, fields)
        return seen

    def _seen_row(
        self, table: EntityMapping, row: TracedRow, without: tuple[str, ...] = ()
    ) -> Iterator[Seen]:
        """The row by its key, and by the lists that it belongs to."""
        entity = table.entity
        for fields in (entity.key, *self._list_fields.get(entity.name, ())):
            if fields != without:
                try:
                    key = table.outward(fields, [row[field] for field in fields])
                except BridgeError:
                    continue  # No list of this kind holds a row that has no such value.
                yield (entity.name, fields, key), untraced(row)


__all__ = ["PeerLink", "Peers"]
