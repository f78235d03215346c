"""The gateway of one system, through which all of its reads go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from bridge.closing import close_all
from bridge.connector import Reader
from bridge.gateway.audit.answer_auditor import AnswerAuditor
from bridge.gateway.audited_copy import audited_copy
from bridge.gateway.condition_lookup import LimitedQuery
from bridge.gateway.copy.contract import SystemCopy
from bridge.gateway.copy_fills import CopyFills
from bridge.gateway.demanded_reads import DemandedReads, Questions
from bridge.gateway.key_lookup import KeyLookup, Rows
from bridge.gateway.limiter import Limiter
from bridge.gateway.live_reads import LiveReads
from bridge.gateway.peers import Peers
from bridge.gateway.peers.peer_group import PeerGroup
from bridge.gateway.peers.peers import PeerLink
from bridge.gateway.read_names import (
    condition_values,
    key_values,
    only_row,
    outward_many,
    relation_of,
)
from bridge.gateway.relation_step import RelationStep
from bridge.gateway.source_reads import SourceReads, Values
from bridge.gateway.source_selection import WHOLE_ROWS, equal_part, source_selection
from bridge.gateway.view.contract import HoldsRows
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.provenance import RowList, TracedRow, peers_of
from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.row_selection import ALL_ROWS, RowSelection
from bridge.model.specs import SystemLimits
from bridge.model.types import Relation
from bridge.observe import Observer, ignore
from bridge.ports.entity_mapping import EntityMapping
from bridge.ports.held_entry import HeldSource

#: Types of bare keys, which are no mappings.
_BARE_KEYS: Final = frozenset({int, str})


def _now() -> datetime:
    return datetime.now(UTC)


class Gateway:
    """Reads of one system: answered by its copy where that is young enough, else batched and within its
    limits. Entities go by their bare names.

    copy: what is held of the system; None: every read is live.
    view: of the system, which is asked before the cache; None: there is none now.
    audit_share: of the copy's answers, those that are compared with the system; 0 to 1.

    All methods may be called by any number of tasks at once. They raise RetryLater while the system
    is unavailable, DeadlineExceeded for an answer that didn't come in time, Rejected for an invalid
    query or demand, RowError for a row that can't be normalised. A cancelled call cancels its query
    only if nobody else waits for that.
    """

    def __init__(
        self,
        system: str,
        reader: Reader,
        tables: Mapping[str, EntityMapping],
        limits: SystemLimits,
        *,
        observer: Observer = ignore,
        clock: Callable[[], datetime] = _now,
        limiter: Limiter | None = None,
        copy: SystemCopy | None = None,
        view: Callable[[], HoldsRows | None] = lambda: None,
        peers: bool = True,
        monotonic: Callable[[], float] = monotonic,
        audit_share: float = 0.0,
    ) -> None:
        self._system = system
        self._tables = tables
        self.limiter = limiter or Limiter(limits, system=system, observer=observer)
        self._reads = SourceReads(system, reader, self.limiter, observer, clock)
        self._live = LiveReads(self._reads)
        self._by_key: dict[str, KeyLookup] = {}
        #: Of rows of this system; only causes have them.
        self.peers = Peers(
            system,
            self._reads,
            observer,
            staleness={name: table.spec.cache.max_staleness for name, table in tables.items()},
            is_on=peers,
            has_copy=copy is not None,
            clock=monotonic,
        )
        self._demanded = DemandedReads(
            system,
            self._reads.bounds,
            copy,
            view=view,
            check_deadline=self.limiter.check_deadline,
        )
        #: Who answered reads, and how old the copy's answers were.
        self.answers = self._reads.answers
        #: Compares answers of the copy with the system; None: there is no copy.
        self.auditor: AnswerAuditor | None = None
        if copy is not None:
            self._reads.fills = CopyFills(copy)
            copy.probe = self._probe
        copied = self._demanded.copied
        if copied is not None:
            copied.answers = self.answers
            copied.auditor = self.auditor = audited_copy(
                system,
                audit_share,
                copied.copy,
                reads=self._reads,
                tables=tables,
                observer=observer,
            )

    def has(self, entity: str) -> bool:
        """Whether the system has that entity."""
        return entity in self._tables

    def held_source(self, entity: str) -> HeldSource | None:
        """Where rows of an entity are held; None: nowhere. Callable in any thread."""
        table = self._tables.get(entity)
        return None if table is None else self._demanded.held_source(table)

    async def get(
        self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS
    ) -> TracedRow | None:
        """The row with that key (a mapping, or the bare value of a key of one field)."""
        lookup = self._by_key.get(entity)
        if lookup is None or lookup.fields != lookup.table.entity.key:
            table = self._table(entity)
            lookup = self._by_key[entity] = self._live.key_lookup(table, table.entity.key)
        table, batches = lookup.table, lookup.batches
        is_bare = type(key) in _BARE_KEYS and len(lookup.fields) == 1
        values = (key,) if is_bare else key_values(table, key)
        source_values = table.outward(lookup.fields, values)
        groups = self.peers.leading_to(table, demands)
        if groups or not self._demanded.are_plain(demands):
            questions = Questions(table, lookup.fields, (values,), (source_values,))
            link = self._chosen(groups, source_values, demands)
            return only_row(table, key, (await self._load(questions, demands, link))[0])
        answer = batches.load(source_values)
        try:
            rows = await answer
        except asyncio.CancelledError:
            batches.leave()
            raise
        self.peers.note(lookup, (source_values,), (rows,), demands)
        return only_row(table, key, rows)

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[TracedRow | None]:
        """The rows with those keys, aligned, None for each that doesn't exist."""
        table = self._table(entity)
        fields = table.entity.key
        values: Sequence[Values] | None = None
        if len(fields) == 1 and _BARE_KEYS.issuperset(map(type, keys)):
            source_keys = table.outward_many(fields[0], keys)
        else:
            values = [key_values(table, key) for key in keys]
            source_keys = [table.outward(fields, each) for each in values]
        if self._demanded.are_plain(demands):
            answers = await self._live.load_many(table, fields, source_keys)
            self.peers.note(self._live.key_lookup(table, fields), source_keys, answers, demands)
        else:
            values = [(key,) for key in keys] if values is None else values
            answers = await self._load(Questions(table, fields, values, source_keys), demands)
        rows = [
            None if not rows else rows[0] if len(rows) == 1 else only_row(table, key, rows)
            for key, rows in zip(keys, answers, strict=True)
        ]
        self.peers.group(table, rows, demands)
        return rows

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """The rows that a relation leads to: a list (to many), or a row or None (to one)."""
        return (await self.related_many(entity, (row,), relation, demands))[0]

    async def related_many(
        self, entity: str, rows: Sequence[Any], relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> list[Any]:
        """`related` of many rows, aligned, in as few queries."""
        step = self._step(entity, relation)
        other, targets = step.lookup.table, step.lookup.fields
        values = step.values(rows)
        # Nothing equals null: fields that hold one lead nowhere.
        present = [key for key in values if None not in key]
        questions = Questions(other, targets, present, outward_many(other, targets, present))
        link = None
        if len(rows) == len(present) == 1 and (group := peers_of(rows[0])) is not None:
            link = step.link(group, questions.source_values[0])
        answers = await self._load(questions, demands, link)
        if link is None:
            self.peers.group(other, [row for rows in answers for row in rows or ()], demands)
        rows_of_keys = iter(answers)
        if not step.relation.from_field:
            return [[] if None in key else [*(next(rows_of_keys) or ())] for key in values]
        return [None if None in key else only_row(other, key, next(rows_of_keys)) for key in values]

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
        selection: RowSelection = ALL_ROWS,
    ) -> RowList:
        """Rows whose fields equal `where` (a list of values: any of them; a mapping of operators: what
        they say), at most `limit`. Ranges, orders and pages are answered by the legacy system.
        """
        table = self._table(entity)
        equal = equal_part(where)
        fields = tuple(sorted(equal))
        by_source = condition_values(table, equal, fields, limit, self._reads.max_keys)
        if len(equal) < len(where) or selection != ALL_ROWS:
            selected = source_selection(table, where, selection)
        else:
            selected = WHOLE_ROWS
        if equal and not by_source:
            return RowList((), is_truncated=False)
        question = LimitedQuery(tuple(by_source), limit)

        async def live() -> Rows:
            return await self._live.query(table, fields, question, selected)

        if self._demanded.are_plain(demands):
            rows = await live()
        else:
            questions = Questions(table, fields, list(by_source.values()), list(by_source))
            if selected is not WHOLE_ROWS:
                questions = Questions(table, (), [], [])  # The copy knows no ranges.
            rows = await self._demanded.query(questions, limit, demands, live)
        if selected.columns is None:  # A projection is no row that others may have.
            self.peers.note_rows(table, rows, demands)
            self.peers.group(table, rows, demands)
        return RowList(rows, is_truncated=len(rows) >= limit)

    async def close(self) -> None:
        """Cancel running queries and close the Reader."""
        auditor = self.auditor
        await close_all(
            auditor.close if auditor is not None else None, self._live.close, self._reads.close
        )

    def _table(self, entity: str) -> EntityMapping:
        table = self._tables.get(entity)
        if table is None:
            names = ", ".join(sorted(self._tables)) or "none"
            raise Rejected(
                "unknown_entity", f"system {self._system} has no entity {entity!r}; it has {names}"
            )
        return table

    def _step(self, entity: str, relation: str) -> RelationStep:
        table = self._table(entity)
        declared = relation_of(table, relation)
        other = self._table(declared.entity)
        try:
            starts, targets = declared.ends(table.entity.key, other.entity.key)
        except ConfigurationError as error:
            raise Rejected("bad_relation", f"{table.entity.qualified}: {error}") from error
        return RelationStep(declared, starts, self._live.key_lookup(other, targets))

    def _chosen(
        self,
        groups: Sequence[tuple[PeerGroup, Relation]],
        source_values: Values,
        demands: ReadDemands,
    ) -> PeerLink | None:
        """The step of a row whose field was passed to `get`, if it is one's."""
        steps = ((group, self._step(group.entity.name, each.name)) for group, each in groups)
        links = (step.link(group, source_values) for group, step in steps)
        return self.peers.choose(links, demands)

    async def _load(
        self, questions: Questions, demands: ReadDemands, link: PeerLink | None = None
    ) -> list[Rows | None]:
        table, fields = questions.table, questions.fields
        if link is not None and not self.peers.serves(demands):
            link = None

        async def live(source_keys: Sequence[Values]) -> list[Rows | None]:
            if link is not None:
                return [await self.peers.read(link, demands)]
            answers = await self._live.load_many(table, fields, source_keys)
            self.peers.note(self._live.key_lookup(table, fields), source_keys, answers, demands)
            return answers

        if self._demanded.are_plain(demands):
            answers = await live(questions.source_values)
        else:
            answers = await self._demanded.load(questions, demands, live)
        if link is not None:
            self.peers.adopt(link, answers[0] or ())
        return answers

    async def _probe(self) -> None:
        """Read any row, so that the copy learns which transactions reads show."""
        table = next(iter(self._tables.values()))
        await self._live.query(table, (), LimitedQuery((), 1))
