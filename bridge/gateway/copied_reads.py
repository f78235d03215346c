"""What the copy of a system answers by itself: looks, decides, and builds rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

from bridge.gateway.answer_tally import AnswerTally
from bridge.gateway.audit.answer_auditor import AnswerAuditor
from bridge.gateway.audit.verdict import AuditedAnswer
from bridge.gateway.cache.entry import Fill, RowEntry
from bridge.gateway.cache.lists import ListEntry, ListKey
from bridge.gateway.copy.contract import SystemCopy
from bridge.gateway.copy_fills import list_key
from bridge.gateway.freshness.read_floors import FloorKey, ReadFloors, ReadSpan
from bridge.gateway.freshness.read_order import ReadDecision, decide
from bridge.gateway.freshness.read_request import ReadRequest
from bridge.gateway.read_bounds import VisibilityBound
from bridge.gateway.row_provenance import HeldProvenance, LiveProvenance, held_claim
from bridge.model.freshness import Freshness
from bridge.model.provenance import TracedRow, origin_of
from bridge.model.read_demands import ReadCause
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]


class ReadTarget(NamedTuple):
    """What one read is of: a row by its key, or the list of the rows with given values.

    key: the log's key; None: a list, or nobody can say.
    list_key: None: a row, or a list that can't be kept right.
    floor_key: what its reader's floors call it.
    source_values: what it is asked by, in the source's own form.
    """

    key: bytes | None
    list_key: ListKey | None
    floor_key: FloorKey
    source_values: Values


class ReadTerms(NamedTuple):
    """One read's demands, checked.

    bound: what a live answer has to show.
    known_at: what it is bound by was committed before this time of this process's clock.
    cause: on whose behalf.
    if_away: what is enough while the legacy system is unavailable; None: no less than otherwise.
    """

    request: ReadRequest
    bound: VisibilityBound | None
    known_at: float
    cause: ReadCause | None
    if_away: ReadRequest | None = None


class CopiedReads:
    """Answers of one system's copy. Used on the bridge's loop."""

    def __init__(
        self, system: str, copy: SystemCopy, clock: Callable[[], float] = monotonic
    ) -> None:
        self.copy = copy
        self._system = system
        self._clock = clock
        self._floors: dict[str, ReadFloors] = {}
        self.answers = AnswerTally()
        #: Compares a share of what is answered with the source; set by the Gateway.
        self.auditor: AnswerAuditor | None = None

    def target(
        self,
        table: EntityMapping,
        fields: tuple[str, ...],
        values: Values,
        source_values: Values,
    ) -> ReadTarget:
        """What a read of the rows with these values is of."""
        name = table.entity.name
        if fields == table.entity.key:
            key = table.stored_key(values, source_values)
            floor = repr(source_values).encode() if key is None else key
            return ReadTarget(key, None, (name, floor), source_values)
        listed = list_key(self.copy, table, fields, values, source_values)
        floor_key = (f"{name} {fields}", repr(source_values).encode())
        return ReadTarget(None, listed, floor_key, source_values)

    def decide(
        self, table: EntityMapping, target: ReadTarget, terms: ReadTerms
    ) -> tuple[ReadDecision, RowEntry | ListEntry | None]:
        """Who answers it now, and what is held of it."""
        name = table.entity.name
        entry = self._entry(table, target)
        claim = None
        meets_floor = True
        if entry is not None:
            proved = (
                self.copy.claim_of_list(name)
                if target.key is None
                else self.copy.claim(name, target.key)
            )
            if proved is not None:
                claim = self._claim(entry, proved, terms)
                meets_floor = self._meets_floors(terms.cause, name, target, entry, claim)
        decision = decide(
            terms.request,
            claim,
            self._clock(),
            is_held=entry is not None,
            has_barriers=self.copy.has_barriers,
            meets_floor=meets_floor,
        )
        return decision, entry

    def rows_if_away(
        self, table: EntityMapping, targets: Sequence[ReadTarget], terms: ReadTerms
    ) -> list[list[TracedRow]] | None:
        """What is held of all of these, while the legacy system is unavailable; None: not enough."""
        if terms.if_away is None:
            return None
        accepted = terms._replace(request=terms.if_away)
        entries = []
        for target in targets:
            decision, entry = self.decide(table, target, accepted)
            if decision.answer != "copy" or entry is None:
                return None
            entries.append(entry)
        return [
            self.rows(table, target, entry, accepted)
            for target, entry in zip(targets, entries, strict=True)
        ]

    def rows(
        self,
        table: EntityMapping,
        target: ReadTarget,
        entry: RowEntry | ListEntry,
        terms: ReadTerms,
    ) -> list[TracedRow]:
        """The rows of what is held, noted as read."""
        name = table.entity.name
        entity, row = table.entity, self.copy.rows.row
        held = HeldProvenance(entity.qualified, entry, self.copy.cache, self._clock)
        proved = self.copy.claim(name)
        if proved is not None:
            claim = self._claim(entry, proved, terms)
            self._count(name, target, entry, claim)
            if terms.cause is not None:
                span = _span(entry)
                for key in _floor_keys(name, target, entry):
                    self._floors_of(terms.cause).note_copy(key, claim, filled_by=span)
        if isinstance(entry, RowEntry):
            return [] if entry.payload is None else [TracedRow(row(entry.payload), held, entity)]
        return [TracedRow(row(payload), held, entity) for payload in entry.payloads]

    def accepts(
        self,
        cause: ReadCause | None,
        keys: Sequence[FloorKey],
        claim: Freshness,
        shown_position: str,
    ) -> bool:
        """Whether an answer of another copy with this claim goes back for none of these rows; it is
        noted as read then. `shown_position`: what its rows may show though it isn't claimed.
        """
        if cause is None:
            return True
        floors = self._floors_of(cause)
        if not all(floors.floor(key).is_met_by(claim) for key in keys):
            return False
        for key in keys:
            floors.note_copy(key, claim, shown_position)
        return True

    def _count(
        self, name: str, target: ReadTarget, entry: RowEntry | ListEntry, claim: Freshness
    ) -> None:
        """An answer of the copy, which may be audited if it is of one row."""
        answers = self.answers.of(name)
        answers.cache += 1
        answers.note_age(claim.age(self._clock()))
        auditor = self.auditor
        if auditor is None or target.key is None or not isinstance(entry, RowEntry):
            return
        if auditor.skip > 0:
            auditor.skip -= 1
        else:
            answer = AuditedAnswer(name, target.key, target.source_values, entry.payload, claim)
            auditor.consider(answer)

    def note_live(
        self,
        table: EntityMapping,
        target: ReadTarget,
        rows: Sequence[TracedRow],
        terms: ReadTerms,
    ) -> None:
        """The legacy system has answered the read with these rows, of one query: no later read of its
        reader goes back.
        """
        if terms.cause is not None:
            span = self._live_span(table, target, rows)
            self._floors_of(terms.cause).note_live(target.floor_key, span)

    def note_members(
        self, table: EntityMapping, rows: Sequence[TracedRow], terms: ReadTerms
    ) -> None:
        """Those rows were in lists that the legacy system has answered."""
        if terms.cause is None:
            return
        floors, name, fields = self._floors_of(terms.cause), table.entity.name, table.entity.key
        for row in rows:
            values = tuple([row[field] for field in fields])
            key = table.stored_key(values, table.outward(fields, values))
            origin = origin_of(row)
            if key is not None and isinstance(origin, LiveProvenance) and origin.read is not None:
                floors.note_live((name, key), origin.read)

    def required(self, table: EntityMapping, target: ReadTarget) -> frozenset[int]:
        """What a live answer has to show of what was applied to the row, and perhaps read."""
        if target.key is None:
            return frozenset()
        return self.copy.cache.fences.transactions(table.entity.name, target.key)

    def forget(self, table: EntityMapping, target: ReadTarget) -> None:
        """A command without a position may have changed it."""
        if target.key is not None and table.entity.name in self.copy.entities:
            self.copy.cache.drop(table.entity.name, target.key)

    def _entry(self, table: EntityMapping, target: ReadTarget) -> RowEntry | ListEntry | None:
        """What is held in the form that rows have by now."""
        copy = self.copy
        header = copy.rows.header(table.entity)
        if target.key is not None:
            entry = copy.cache.get(copy.scope, table.entity.name, target.key)
            if entry is None or entry.payload is None or entry.payload.startswith(header):
                return entry
            return None
        if target.list_key is None:
            return None
        listed = copy.cache.get_list(target.list_key)
        if listed is None or all(payload.startswith(header) for payload in listed.payloads):
            return listed
        return None

    def _claim(self, entry: RowEntry | ListEntry, proved: Freshness, terms: ReadTerms) -> Freshness:
        reports = self.copy.cache.reports_visibility
        return _claim_of(entry, proved, terms, reports_visibility=reports)

    def _meets_floors(
        self,
        cause: ReadCause | None,
        name: str,
        target: ReadTarget,
        entry: RowEntry | ListEntry,
        claim: Freshness,
    ) -> bool:
        if cause is None:
            return True
        floors, span = self._floors_of(cause), _span(entry)
        return all(
            floors.floor(key).is_met_by(claim, span) for key in _floor_keys(name, target, entry)
        )

    def _floors_of(self, cause: ReadCause) -> ReadFloors:
        floors = self._floors.get(cause.reader)
        if floors is None:
            floors = self._floors[cause.reader] = ReadFloors()
        return floors

    def _live_span(
        self, table: EntityMapping, target: ReadTarget, rows: Sequence[TracedRow]
    ) -> ReadSpan:
        """Of the query that answered. Of one without rows it is known if that was stored."""
        for row in rows[:1]:
            origin = origin_of(row)
            if isinstance(origin, LiveProvenance) and origin.read is not None:
                return origin.read
        entry = self._entry(table, target)
        span = None if entry is None else _span(entry)
        return span or ReadSpan(0, float("-inf"), self._clock())


def _floor_keys(name: str, target: ReadTarget, entry: RowEntry | ListEntry) -> list[FloorKey]:
    if isinstance(entry, RowEntry):
        return [target.floor_key]
    return [target.floor_key, *((name, member) for member in entry.members)]


def _span(entry: RowEntry | ListEntry) -> ReadSpan | None:
    """The query that brought it; None for an event."""
    read = entry.origin.claim if isinstance(entry.origin, Fill) else entry.origin.read
    return read if isinstance(read, ReadSpan) else None


def _claim_of(
    entry: RowEntry | ListEntry, proved: Freshness, terms: ReadTerms, *, reports_visibility: bool
) -> Freshness:
    """What is proved of an entry: by the follower, and by the query that brought it. Pure.

    A query that shows what the read is bound by contains its position. Of a bound whose transaction
    isn't known only a query shows it that began after it was known.
    """
    request, bound = terms.request, terms.bound
    if request.bound.is_met_by(proved):
        return proved
    span = _span(entry)
    as_of, position = held_claim(span, proved)
    if span is not None and bound is not None and isinstance(entry.origin, Fill):
        visibility = entry.origin.visibility
        is_later = span.began >= terms.known_at
        if visibility is None:
            is_shown = is_later and not reports_visibility
        else:
            is_shown = bound.is_met_by(visibility) and (is_later or not bound.is_reported)
        if is_shown:
            position = max(position, request.bound.position)
    return Freshness(proved.system, proved.epoch, position, as_of)
