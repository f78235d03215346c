"""The remote calls of one poll."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from bridge.connector.answer_check import AnswerMismatch, AnswerSizes
from bridge.connector.answer_contradictions import seen_again
from bridge.model.errors import Rejected
from connectors.tryton.capture.recent_changes import RowStamp, datetime_of, micros_of
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model import CREATED, ID, WRITTEN
from connectors.tryton.metadata.model_table import ModelTable
from connectors.tryton.protocol.domain_check import check_rows

DELETION_LOG_MODEL: Final = "ir.model.log"
"""Who did what, including deletions; readable only by administrators."""
MAX_IDS_PER_QUERY: Final = 50_000
MAX_WINDOW_ROWS: Final = 100_000
"""Rows of a window that are emitted one by one; with more, the table is compared with the log."""
_WITH_INACTIVE: Final = {"active_test": False}


def stamp_of(row: dict[str, Any]) -> RowStamp:
    """A row's times. `write_date` is null until the first write."""
    created = row[CREATED]
    changed = row[WRITTEN] or created
    zero = datetime(1970, 1, 1)  # noqa: DTZ001 - as Tryton's own
    return RowStamp(micros_of(changed or zero), row[ID], micros_of(created or zero))


def changed_since(micros: int) -> list[Any]:
    """The domain of what was created or written from a time on."""
    since = datetime_of(micros)
    never_written = [[WRITTEN, "=", None], [CREATED, ">=", since]]
    return ["OR", [[WRITTEN, ">=", since]], never_written]


class WindowRows(NamedTuple):
    """Rows of a window; `at_once`: one answer held all of them."""

    rows: list[RowStamp]
    at_once: bool


class PollQueries:
    """Sends the calls of polls to one ERP; keeps no rows.

    `max_window_rows`: with more rows in a window, they are not emitted one by one.
    """

    def __init__(self, client: TrytonClient, max_window_rows: int = MAX_WINDOW_ROWS) -> None:
        self.max_window_rows = max_window_rows
        self._client = client
        self._page = client.options.page
        self._sizes: defaultdict[str, AnswerSizes] = defaultdict(AnswerSizes)

    @property
    def erp_time(self) -> int | None:
        """The time by the ERP's clock when it answered last, in whole seconds; None if it sends none."""
        return self._client.answered_at

    async def newest_time(self, model: str, *conditions: Any) -> int:
        """When the newest row was created or written, or 0."""
        newest = 0
        for name in (WRITTEN, CREATED):
            domain = [[name, "!=", None], *conditions]
            rows = await self._client.call_model(
                model,
                "search_read",
                domain,
                0,
                1,
                [[name, "DESC"]],
                [name],
                context=_WITH_INACTIVE,
            )
            check_rows(model, rows, domain, ordered=False, where=self._client.where)
            if not all(name in row for row in rows):
                raise Rejected(
                    "legacy_error",
                    f"{self._client.where}: model {model!r}: rows came without the requested {name}",
                )
            newest = max([newest, *(micros_of(row[name]) for row in rows)])
        return newest

    async def window(self, model: str, start: int, *conditions: Any) -> WindowRows:
        """The rows that changed since `start`, at most a page more than `max_window_rows`."""
        stamps: list[RowStamp] = []
        domain = [changed_since(start), *conditions]
        answers = 0
        while True:
            after = [[ID, ">", stamps[-1].id]] if stamps else []
            rows = await self._client.search_read(
                model, [*domain, *after], [CREATED, WRITTEN], limit=self._page
            )
            stamps += map(stamp_of, rows)
            answers += bool(rows)
            is_last = len(rows) < self._page and not self._sizes[model].may_be_cut(len(rows))
            if is_last or len(stamps) > self.max_window_rows:
                return WindowRows(stamps, at_once=answers <= 1 and len(stamps) < self._page)

    async def read_rows(
        self, table: ModelTable, ids: Sequence[int]
    ) -> dict[int, tuple[RowStamp, Any]]:
        """The rows of these ids that exist, by id: their times, and the rows as they are now."""
        fields = list(dict.fromkeys((*table.names, CREATED, WRITTEN)))
        current: dict[int, tuple[RowStamp, Any]] = {}
        for start in range(0, len(ids), self._page):
            domain = [[ID, "in", list(ids[start : start + self._page])]]
            rows = await self._client.search_read(table.model.name, domain, fields)
            current.update({row[ID]: (stamp_of(row), table.row(row)) for row in rows})
        return current

    async def list_ids(self, model: str) -> array[int]:
        """All ids of a model, in order. Raises AnswerMismatch if the ERP ignores conditions on them."""
        ids = array("q")
        while True:
            after = [[ID, ">", ids[-1]]] if ids else []
            listed = await self._client.search(model, after, limit=MAX_IDS_PER_QUERY)
            # Only an empty answer is the end.
            if not listed:
                await self._check_conditions(model, ids)
                return ids
            self._sizes[model].may_be_cut(len(listed))
            ids.extend(listed)

    async def existing_ids(self, model: str, ids: Sequence[int]) -> set[int]:
        """Which of these ids the model has."""
        existing: set[int] = set()
        for start in range(0, len(ids), self._page):
            wanted = list(ids[start : start + self._page])
            domain = [[ID, "in", wanted]]
            listed = await self._client.call_model(
                model, "search", domain, 0, None, None, context=_WITH_INACTIVE
            )
            existing.update(set(map(int, listed)).intersection(wanted))
        return existing

    async def _check_conditions(self, model: str, ids: Sequence[int]) -> None:
        """Test that conditions on ids and times find an existing row; otherwise changes would never be
        found. Raises AnswerMismatch.
        """
        for key in (ids[-1], ids[0]) if ids else ():  # One of them may be deleted in between.
            rows = await self._client.search_read(model, [[ID, "=", key]], [CREATED, WRITTEN])
            if rows and (rows[0][CREATED] or rows[0][WRITTEN]) is None:
                return
            since = [changed_since(0), [ID, "=", key]]
            if rows and await self._client.search(model, since, limit=1):
                return
        # Both of them may be deleted by now.
        if ids and await seen_again(partial(self._overlooked, model)) is not None:
            raise AnswerMismatch(
                f"{self._client.where}: model {model!r}: conditions on {ID}, {CREATED} and {WRITTEN} don't "
                "find existing rows, so that changes would be missed"
            )

    async def _overlooked(self, model: str) -> tuple[int, str] | None:
        """The first row, if it isn't found by its id and its times."""
        first = await self._client.search(model, [], limit=1)
        if not first:
            return None
        by_id = [ID, "=", first[0]]
        rows = await self._client.search_read(model, [by_id], [CREATED, WRITTEN])
        times = [(row[CREATED], row[WRITTEN]) for row in rows]
        if times == [(None, None)]:
            return None
        if times and await self._client.search(model, [changed_since(0), by_id], limit=1):
            return None
        return first[0], repr(times)
