"""One system's Reader: its rows by the plan, with where they are from, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from bridge.connector import Ask, Reader, Rows, counting_requests, refuse_unsupported
from bridge.connector.answer_check import AnswerMismatch
from bridge.gateway.answer_check import WHAT_TO_DO, has_foreign_row, wrong_form, wrong_part
from bridge.gateway.answer_tally import AnswerTally
from bridge.gateway.copy_fills import CopyFills, WholeQuery
from bridge.gateway.limiter import Limiter
from bridge.gateway.read_bounds import WaitingBounds, note_answer
from bridge.gateway.row_provenance import LiveProvenance
from bridge.gateway.source_rows import SourceRows
from bridge.gateway.source_selection import WHOLE_ROWS, SourceSelection
from bridge.model.error_text import error_message
from bridge.model.errors import (
    ConfigurationError,
    DeadlineExceeded,
    Rejected,
    RetryLater,
    RowError,
    SystemBusy,
)
from bridge.model.provenance import Provenance, TracedRow
from bridge.observe import BreakerMoved, Observer, PartState, RowsRead, Throttled
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]


def _now() -> datetime:
    return datetime.now(UTC)


class SourceReads:
    """Asks the Reader of `system`; reports each query, and when the system goes away and returns."""

    def __init__(
        self,
        system: str,
        reader: Reader,
        limiter: Limiter,
        observer: Observer,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.limiter = limiter
        self._max_rows = limiter.max_rows
        self.max_keys = min(reader.max_keys, self._max_rows or reader.max_keys)
        self._system = system
        self._reader = reader
        self._observer = observer
        self._clock = clock
        self._is_away = False
        #: What those who wait have to be shown.
        self.bounds = WaitingBounds()
        #: Where answers are kept; set by the Gateway if there is a copy.
        self.fills: CopyFills | None = None
        #: Who answered reads.
        self.answers = AnswerTally()

    async def fetch(
        self,
        table: EntityMapping,
        fields: tuple[str, ...],
        keys: Sequence[Values],
        limit: int | None,
        reads: int,
        *,
        selection: SourceSelection = WHOLE_ROWS,
    ) -> SourceRows:
        """The rows of one query, which answers `reads` reads. On a connection of the limiter's.

        fields, keys: the values of these fields, in the source's own form, any of which match; both
        empty: every row.
        selection: which of them, in which order and what of them; what is selected isn't kept.
        Raises Rejected (`over_limit`) if there are more rows than an answer may have.
        """
        columns = table.columns(fields)
        as_of, started = self._clock(), perf_counter()
        entity = table.entity
        waiting = self.bounds.of_query(entity.name)
        fills = self.fills if selection is WHOLE_ROWS else None
        sent = fills.begin() if fills is not None else None
        answered = 0
        answer: Rows | None = None
        try:
            ask = selection.added_to(Ask(table.spec.table, columns, keys, limit=limit))
            answer = await self._ask(entity.qualified, ask)
            if waiting:
                note_answer(waiting, answer.visibility)
            entity = table.entity_of(answer.shape)
            plan_rows = self._converted(table, fields, keys, answer, selection)
            provenance = Provenance(entity.qualified, "legacy", as_of)
            if sent is not None and fills is not None:
                is_whole = bool(fields) and (limit is None or len(plan_rows) < limit)
                query = WholeQuery(fields, keys) if is_whole else None
                filling, sent = sent, None
                span = fills.fill(filling, table, answer, plan_rows, query)
                provenance = LiveProvenance(entity.qualified, "legacy", as_of, None, span)
            rows = [TracedRow(row, provenance, entity) for row in plan_rows]
            answered = reads
            self.answers.of(entity.name).legacy += reads
            if self._is_away:
                self._is_away = False
                self._observer(PartState("reads", self._system, "running"))
            return SourceRows(answer.shape, answer.rows, rows)
        except (Rejected, RowError) as error:
            self._heard()
            self._refuse_form(table, error, answer)
            raise
        except (RetryLater, ConfigurationError) as error:
            self._note_failure(error)
            raise
        finally:
            if sent is not None and fills is not None:
                fills.fail(sent)
            # A failed query is still counted as a query; its reads are counted with the query that
            # answers them.
            took = perf_counter() - started
            self._observer(RowsRead(self._system, entity.qualified, answered, 1, took))

    async def _ask(self, entity: str, ask: Ask) -> Rows:
        """The Reader's answer, for whose rows and requests the query is charged."""
        most = self._max_rows
        if most and (ask.limit is None or ask.limit > most):
            ask = ask._replace(limit=most + 1)  # One more shows that there are more.
        refuse_unsupported(ask, self._reader.features)
        with counting_requests() as requests:
            try:
                answer = await self._reader.fetch(ask)
            finally:
                self.limiter.used(requests=requests.sent)
        self.limiter.used(rows=len(answer.rows))
        self._heard()
        if wrong := wrong_part(ask, answer):
            raise self._mismatch(ask.table, wrong)
        if most and len(answer.rows) > most:
            raise Rejected(
                "over_limit",
                f"more than {most} rows of {entity} answer the read, and an answer may have {most} "
                f"(`limits.max_rows` of system {self._system}): ask for fewer",
            )
        return answer

    def _converted(
        self,
        table: EntityMapping,
        fields: tuple[str, ...],
        keys: Sequence[Values],
        answer: Rows,
        selection: SourceSelection,
    ) -> Sequence[Any]:
        """The rows by the plan. Raises AnswerMismatch if one of them is of none of the keys."""
        convert = table.rows if selection.columns is None else table.partial_rows
        plan_rows = convert(answer.shape, answer.rows)
        unchecked = SourceRows(answer.shape, answer.rows, plan_rows)
        columns = table.columns(fields)
        if keys and plan_rows and has_foreign_row(table, fields, columns, keys, unchecked):
            raise self._mismatch(table.spec.table, "a row that nobody asked for")
        return plan_rows

    def _refuse_form(
        self, table: EntityMapping, error: Rejected | RowError, answer: Rows | None
    ) -> None:
        """Raise AnswerMismatch if a row can't be converted because it is none of its shape."""
        wrong = wrong_form(answer) if isinstance(error, RowError) and answer else ""
        if wrong:
            raise self._mismatch(table.spec.table, wrong) from error

    def _mismatch(self, table: str, wrong: str) -> AnswerMismatch:
        """The error for an answer to a question about `table` that can't be one to it."""
        connector = type(self._reader).__name__
        return AnswerMismatch(
            f"system {self._system}: {connector} was asked about table {table!r} and answered {wrong}: "
            f"{WHAT_TO_DO}"
        )

    def _heard(self) -> None:
        """The system answers."""
        if self.limiter.answered():
            self._observer(BreakerMoved(self._system, "closed"))

    def _note_failure(self, error: RetryLater | ConfigurationError) -> None:
        """The query wasn't answered: report it, and hear what the system asks for."""
        if not isinstance(error, DeadlineExceeded):
            self._is_away = True
            self._observer(PartState("reads", self._system, "retrying", error_message(error)))
        after = error.after if isinstance(error, RetryLater) else None
        if after is not None and self.limiter.throttle(after, str(error)):
            self._observer(Throttled(self._system, after, str(error)))
        elif after is None and isinstance(error, SystemBusy):
            self.limiter.system_refused()
        self._count_failure(error)

    def _count_failure(self, error: RetryLater | ConfigurationError) -> None:
        """Only what says that the whole system is away counts as its failure: neither a pause that
        it asks for, which is kept, nor a deadline that the caller set, nor a wrong configuration.
        """
        if isinstance(error, SystemBusy):
            self._heard()
        elif isinstance(error, ConfigurationError | DeadlineExceeded) or error.after is not None:
            return
        elif self.limiter.failed(error_message(error)):
            breaker = self.limiter.breaker
            wait = breaker.retry_after(self.limiter.now())
            self._observer(
                BreakerMoved(self._system, "open", breaker.failures, breaker.reason, wait)
            )

    async def close(self) -> None:
        """Close the Reader."""
        await self._reader.close()
