"""The order of a read: the copy, the copy after a barrier, the legacy system; by the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

from bridge.gateway.copied_reads import CopiedReads, ReadTarget, ReadTerms
from bridge.gateway.copy.contract import SystemCopy
from bridge.gateway.freshness.read_request import WITHOUT_EFFECT, read_request
from bridge.gateway.key_lookup import Fields, Rows
from bridge.gateway.read_bounds import VisibilityBound, WaitingBounds, visibility_bound
from bridge.gateway.view.contract import HoldsRows
from bridge.gateway.viewed_reads import ALL_ROWS, RowQuestions, ViewedReads
from bridge.model.errors import DeadlineExceeded, RetryLater
from bridge.model.freshness import NEVER, FreshnessBound
from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.receipt import Receipt
from bridge.ports.entity_mapping import EntityMapping
from bridge.ports.held_entry import HeldSource

Values = tuple[Any, ...]

SHOW_WAIT_S: Final = 2.0
"""How long a read without a deadline waits for the legacy system to show what it is bound by; then it
raises RetryLater.
"""
SHOW_PAUSES_S: Final = (0.005, 0.1)
"""The first and the longest pause between two such queries; each is twice the one before."""

T = TypeVar("T")
LiveLookup = Callable[[Sequence[Values]], Awaitable[Sequence[Rows | None]]]
"""Asks the legacy system for the rows with these values, in its own form; aligned."""
LiveQuery = Callable[[], Awaitable[Rows]]
"""Asks the legacy system for the rows with any of the values, up to the query's limit."""


class Questions(NamedTuple):
    """Rows of one entity whose `fields` have given values, for each of them.

    values, source_values: as they were asked for, and in the source's own form; aligned.
    """

    table: EntityMapping
    fields: Fields
    values: Sequence[Values]
    source_values: Sequence[Values]


class DemandedReads:
    """Reads of one system with demands.

    copy: None: every read is live.
    view: of the system, that is asked first; None: there is none now.
    check_deadline: called before the legacy system is asked by a read with a deadline; raises
    DeadlineExceeded if it can't be asked in time.
    clock, sleep: seconds, of `time.monotonic`; handed in by tests.
    """

    def __init__(
        self,
        system: str,
        bounds: WaitingBounds,
        copy: SystemCopy | None = None,
        *,
        view: Callable[[], HoldsRows | None] = lambda: None,
        check_deadline: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._system = system
        self._bounds = bounds
        self._copied = None if copy is None else CopiedReads(system, copy, clock)
        self._viewed = ViewedReads(view, clock)
        self._check_deadline = check_deadline
        self._clock = clock
        self._sleep = sleep

    def held_source(self, table: EntityMapping) -> HeldSource | None:
        """Where rows of an entity are held; None: nowhere. Callable in any thread."""
        copied = self._copied_of(table)
        if copied is None:
            return None
        name, copy = table.entity.name, copied.copy
        return HeldSource(
            self._system,
            copy.entity_claim(name),
            table.spec.cache.max_staleness,
            copy.cache.hits,
            copied.answers.of(name).held,
        )

    @property
    def copied(self) -> CopiedReads | None:
        """What the copy answers; None: there is none."""
        return self._copied

    def are_plain(self, demands: ReadDemands) -> bool:
        """Whether any query that is sent from now on answers a read with these demands."""
        if self._copied is not None:
            return False
        if demands is NO_DEMANDS:
            return True
        is_default = demands[:4] == (None, None, False, None)
        return is_default and visibility_bound(demands, self._system) is None

    async def load(
        self, questions: Questions, demands: ReadDemands, live: LiveLookup
    ) -> list[Rows | None]:
        """The rows of each question, aligned; None or empty: there are none.

        Raises Rejected (`bad_freshness`), DeadlineExceeded, RetryLater, and what `live` raises.
        """
        terms = self._terms(questions.table, demands)
        return await self._in_time(
            questions.table, demands, terms, self._load(questions, terms, demands, live)
        )

    async def query(
        self, questions: Questions, limit: int, demands: ReadDemands, live: LiveQuery
    ) -> Rows:
        """At most `limit` rows of all questions together. Raises as `load`."""
        terms = self._terms(questions.table, demands)
        return await self._in_time(
            questions.table,
            demands,
            terms,
            self._query(questions, limit, terms, demands, live=live),
        )

    async def _load(
        self, questions: Questions, terms: ReadTerms, demands: ReadDemands, live: LiveLookup
    ) -> list[Rows | None]:
        table = questions.table
        copied = self._copied_of(table)
        if copied is None:
            sources = questions.source_values
            return list(
                await self._ask_until_visible(table, terms, terms.bound, lambda: live(sources))
            )
        targets = _targets(copied, questions)
        if is_without_position(demands.after):
            for target in targets:
                copied.forget(table, target)
        view_questions = RowQuestions(table, questions.fields, questions.values, targets, ALL_ROWS)
        answers = await self._settle(copied, view_questions, terms, demands)
        left = [index for index, rows in enumerate(answers) if rows is None]
        if not left:
            return answers
        required = frozenset().union(*(copied.required(table, targets[at]) for at in left))
        bound = _with(terms.bound, required if terms.cause is not None else frozenset())
        sources = [questions.source_values[at] for at in left]
        try:
            live_rows = await self._ask_until_visible(table, terms, bound, lambda: live(sources))
        except RetryLater:
            held = copied.rows_if_away(table, [targets[at] for at in left], terms)
            if held is None:
                raise
            for at, held_rows in zip(left, held, strict=True):
                answers[at] = held_rows
            return answers
        for at, rows in zip(left, live_rows, strict=True):
            answers[at] = rows
            copied.note_live(table, targets[at], rows or (), terms)
            if targets[at].key is None:
                copied.note_members(table, rows or (), terms)
        return answers

    async def _query(
        self,
        questions: Questions,
        limit: int,
        terms: ReadTerms,
        demands: ReadDemands,
        *,
        live: LiveQuery,
    ) -> Rows:
        table = questions.table
        copied = self._copied_of(table)
        if copied is None or not questions.fields:
            return await self._ask_until_visible(table, terms, terms.bound, live)
        targets = _targets(copied, questions)
        view_questions = RowQuestions(table, questions.fields, questions.values, targets, limit)
        answers = await self._settle(copied, view_questions, terms, demands)
        if all(rows is not None for rows in answers):
            return [row for rows in answers for row in rows or ()][:limit]
        try:
            rows = await self._ask_until_visible(table, terms, terms.bound, live)
        except RetryLater:
            held = copied.rows_if_away(table, targets, terms)
            if held is None:
                raise
            return [row for rows in held for row in rows][:limit]
        for target in targets:
            copied.note_live(table, target, rows, terms)
        copied.note_members(table, rows, terms)
        return rows

    async def _settle(
        self,
        copied: CopiedReads,
        questions: RowQuestions,
        terms: ReadTerms,
        demands: ReadDemands,
    ) -> list[Rows | None]:
        """What view and cache answer, perhaps after barriers; None: the legacy system has to be
        asked.
        """
        table, targets = questions.table, questions.targets
        answers: list[Rows | None] = [None] * len(targets)
        if not is_without_position(demands.after):
            answers = await self._viewed.answers(copied, questions, terms)
        left: Sequence[int] = [at for at, rows in enumerate(answers) if rows is None]
        while left:
            waiting, until = [], NEVER
            for index in left:
                decision, entry = copied.decide(table, targets[index], terms)
                if decision.answer == "copy" and entry is not None:
                    answers[index] = copied.rows(table, targets[index], entry, terms)
                elif decision.answer == "barrier":
                    waiting.append(index)
                    until = max(until, decision.until)
                else:
                    copied.answers.of(table.entity.name).misses[decision.code] += 1
            if waiting:
                await copied.copy.wait(table.entity.name, until)
            left = waiting
        return answers

    async def _ask_until_visible(
        self,
        table: EntityMapping,
        terms: ReadTerms,
        bound: VisibilityBound | None,
        ask: Callable[[], Awaitable[T]],
    ) -> T:
        """The answer of the legacy system that shows what the read is bound by; it is asked again
        until then. Raises RetryLater where that takes too long.
        """
        if terms.request.deadline is not None:
            self._check_deadline(terms.request.deadline)
        if bound is None:
            return await ask()
        name, pause = table.entity.name, SHOW_PAUSES_S[0]
        while True:
            waiting = self._bounds.add(name, bound)
            try:
                answer = await ask()
            finally:
                self._bounds.remove(name, waiting)
            if not waiting.is_missed:
                return answer
            if terms.request.deadline is None and (
                self._clock() + pause > terms.request.asked_at + SHOW_WAIT_S
            ):
                raise RetryLater(
                    f"{table.entity.qualified}: the server that answers reads doesn't show yet what "
                    "the read has to contain (the event that is handled, or `after`): a standby that "
                    "lags, or a transaction that waits for one; try again, or give the read a "
                    "`deadline` of more seconds"
                )
            await self._sleep(pause)
            pause = min(2 * pause, SHOW_PAUSES_S[1])

    async def _in_time(
        self,
        table: EntityMapping,
        demands: ReadDemands,
        terms: ReadTerms,
        reading: Coroutine[Any, Any, T],
    ) -> T:
        """Raises DeadlineExceeded past the deadline."""
        deadline = terms.request.deadline
        if deadline is None:
            return await reading
        timeout = asyncio.timeout(max(0.0, deadline - self._clock()))
        try:
            async with timeout:
                return await reading
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise DeadlineExceeded(
                f"{table.entity.qualified} was not read within {demands.deadline} s (`deadline`): "
                "its legacy system is slow, many reads wait for it, or it doesn't show yet what the "
                "read has to contain; try again, or give the read more time"
            ) from error

    def _terms(self, table: EntityMapping, demands: ReadDemands) -> ReadTerms:
        now = self._clock()
        staleness = table.spec.cache.max_staleness
        request = read_request(now, demands, system=self._system, default_staleness=staleness)
        cause, after = demands.cause, demands.after
        is_event_only = after is None or (cause is not None and after == cause.position)
        known_at = cause.known_at if cause is not None and is_event_only else now
        if_away, stale = None, table.spec.cache.stale_if_error
        if stale and demands[:4] == NO_DEMANDS[:4]:
            bound = FreshnessBound(now - stale, request.bound.position)
            if_away = replace(request, bound=bound)
        return ReadTerms(request, visibility_bound(demands, self._system), known_at, cause, if_away)

    def _copied_of(self, table: EntityMapping) -> CopiedReads | None:
        copied = self._copied
        return copied if copied and table.entity.name in copied.copy.entities else None


def is_without_position(after: str | Receipt | None) -> bool:
    """Whether it is the receipt of an effect of which nobody says where it is."""
    return isinstance(after, Receipt) and not after.position and after.outcome not in WITHOUT_EFFECT


def _targets(copied: CopiedReads, questions: Questions) -> list[ReadTarget]:
    table, fields = questions.table, questions.fields
    return [
        copied.target(table, fields, values, source)
        for values, source in zip(questions.values, questions.source_values, strict=True)
    ]


def _with(bound: VisibilityBound | None, transactions: frozenset[int]) -> VisibilityBound | None:
    if not transactions:
        return bound
    if bound is None:
        return VisibilityBound(transactions)
    return VisibilityBound(bound.transactions | transactions, is_reported=bound.is_reported)
