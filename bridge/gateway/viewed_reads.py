"""What the view of a system answers by itself, before its cache is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, NamedTuple

from bridge.gateway.copied_reads import CopiedReads, ReadTarget, ReadTerms
from bridge.gateway.freshness.read_floors import FloorKey
from bridge.gateway.freshness.read_order import decide
from bridge.gateway.key_lookup import Fields, Rows
from bridge.gateway.view.contract import HoldsRows, KeyedRow, NotHeld
from bridge.model.freshness import NEVER, Freshness
from bridge.model.provenance import Provenance, TracedRow
from bridge.plan.lazy_record import LazyRow
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]
ALL_ROWS: Final = -1


class RowQuestions(NamedTuple):
    """Rows of one entity whose `fields` have given values, for each of them.

    values: as they were asked for. targets: of the reads, aligned.
    limit: rows of each at most, or ALL_ROWS.
    """

    table: EntityMapping
    fields: Fields
    values: Sequence[Values]
    targets: Sequence[ReadTarget]
    limit: int


class ViewProvenance:
    """Of rows that the view answered: the claim with which they were looked up."""

    __slots__ = ("_claim", "_clock", "_entity")

    def __init__(self, entity: str, claim: Freshness, clock: Callable[[], float]) -> None:
        self._entity = entity
        self._claim = claim
        self._clock = clock

    def provenance(self) -> Provenance:
        """As SupportsProvenance."""
        claim = self._claim
        if claim.as_of == NEVER:
            as_of = datetime.min.replace(tzinfo=UTC)
        else:
            as_of = datetime.now(UTC) - timedelta(seconds=claim.age(self._clock()))
        return Provenance(self._entity, "view", as_of, claim.position or None)


class ViewedReads:
    """Answers of one system's view. Used on the bridge's loop.

    view: that of now; None: there is none.
    """

    def __init__(
        self, view: Callable[[], HoldsRows | None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._view = view
        self._clock = clock

    async def answers(
        self, copied: CopiedReads, questions: RowQuestions, terms: ReadTerms
    ) -> list[Rows | None]:
        """The rows of each target, aligned; None: the next source has to be asked."""
        view, (table, fields, _, targets, _) = self._view(), questions
        name = table.entity.name
        answers: list[Rows | None] = [None] * len(targets)
        if view is None or not (fields == table.entity.key or view.has_lookup(name, fields)):
            return answers
        claim = await self._claim(view, copied, name, terms)
        if claim is None:
            return answers
        try:
            lists = _look_up(view, questions)
        except NotHeld:
            return answers
        origin = ViewProvenance(table.entity.qualified, claim, self._clock)
        shown_position = view.shown_position()
        for at, rows in enumerate(lists):
            if rows is None:
                continue
            keys: list[FloorKey] = [targets[at].floor_key]
            if targets[at].key is None:
                keys += [(name, row.key) for row in rows]
            if copied.accepts(terms.cause, keys, claim, shown_position):
                answers[at] = [TracedRow(row.row, origin, table.entity) for row in rows]
        if answered := sum(rows is not None for rows in answers):
            counted = copied.answers.of(name)
            counted.view += answered
            counted.note_age(claim.age(self._clock()), answered)
        return answers

    async def _claim(
        self, view: HoldsRows, copied: CopiedReads, entity: str, terms: ReadTerms
    ) -> Freshness | None:
        """The view's claim, once it is young enough; None: it won't be."""
        before: Freshness | None = None
        while True:
            claim = view.claim(entity)
            decision = decide(
                terms.request,
                claim,
                self._clock(),
                is_held=True,
                has_barriers=copied.copy.has_barriers and claim != before,
            )
            if decision.answer == "copy":
                return claim
            if decision.answer == "legacy":
                return None
            before = claim
            await view.wait(entity, decision.until)


def _look_up(view: HoldsRows, questions: RowQuestions) -> list[list[KeyedRow] | None]:
    """Raises NotHeld."""
    table, fields, values, targets, limit = questions
    name = table.entity.name
    if fields != table.entity.key:
        return [*view.equal(name, fields, values, limit)]
    answers: list[list[KeyedRow] | None] = [None] * len(targets)
    with_keys = [(at, target.key) for at, target in enumerate(targets) if target.key is not None]
    if len(with_keys) == 1:
        [(at, key)] = with_keys
        row = view.get(name, key)
        answers[at] = [] if row is None else [KeyedRow(key, row)]
        return answers
    rows = view.get_many(name, [key for _, key in with_keys])
    for (at, key), each in zip(with_keys, rows, strict=True):
        if each is None:
            answers[at] = []
        elif isinstance(each, LazyRow):
            answers[at] = [KeyedRow(key, each)]
    return answers
