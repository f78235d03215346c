"""Looking for changes: the remote calls of one poll."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from bridge.connector.answer_check import AnswerMismatch, AnswerSizes
from bridge.connector.seen_again import seen_again
from bridge.model.errors import Rejected
from connectors.tryton.capture.recent_changes import RowStamp, datetime_of, micros_of
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model import CREATED, ID, WRITTEN
from connectors.tryton.metadata.model_table import ModelTable
from connectors.tryton.protocol.domain_check import check_rows

DELETION_LOG_MODEL = "ir.model.log"
"""Tells who did what, deletions among them; to administrators alone."""
MAX_IDS_PER_QUERY = 50_000
MAX_WINDOW_ROWS = 100_000
"""Rows in a window that are told apart at most: above, the table is compared with the log."""


def stamp_of(row: dict[str, Any]) -> RowStamp:
    """`write_date` is null until the first write."""
    created = row[CREATED]
    at = row[WRITTEN] or created
    zero = datetime(1970, 1, 1)  # noqa: DTZ001 - as Tryton's own
    return RowStamp(micros_of(at or zero), row[ID], micros_of(created or zero))


def changed_since(at: int) -> list[Any]:
    """The domain of what was created or written from a time on."""
    since = datetime_of(at)
    never = [[WRITTEN, "=", None], [CREATED, ">=", since]]
    return ["OR", [[WRITTEN, ">=", since]], never]


class WindowRows(NamedTuple):
    """Rows of a window; `at_once`: one answer held all of them."""

    rows: list[RowStamp]
    at_once: bool


class Poll:
    """Asks one ERP; keeps nothing. `most` rows of a window are told apart."""

    def __init__(self, client: TrytonClient, most: int = MAX_WINDOW_ROWS) -> None:
        self.most = most
        self._client = client
        self._page = client.options.page
        self._sizes: defaultdict[str, AnswerSizes] = defaultdict(AnswerSizes)

    async def newest(self, model: str, *more: Any) -> int:
        """The time of the newest row, or 0."""
        found = 0
        for name in (WRITTEN, CREATED):
            domain = [[name, "!=", None], *more]
            rows = await self._client.call_model(
                model,
                "search_read",
                domain,
                0,
                1,
                [[name, "DESC"]],
                [name],
                context={"active_test": False},
            )
            check_rows(model, rows, domain, ordered=False, where=self._client.where)
            if not all(name in row for row in rows):
                raise Rejected(
                    "legacy_error",
                    f"{self._client.where}: model {model!r}: rows came without {name}, which was asked for",
                )
            found = max([found, *(micros_of(row[name]) for row in rows)])
        return found

    async def window(self, model: str, begin: int, *more: Any) -> WindowRows:
        """The rows of a window, at most a page more than `most`."""
        stamps: list[RowStamp] = []
        domain = [changed_since(begin), *more]
        answers = 0
        while True:
            behind = [[ID, ">", stamps[-1].id]] if stamps else []
            rows = await self._client.search_read(
                model, [*domain, *behind], [CREATED, WRITTEN], limit=self._page
            )
            stamps += map(stamp_of, rows)
            answers += bool(rows)
            short = len(rows) < self._page and not self._sizes[model].may_be_cut(len(rows))
            if short or len(stamps) > self.most:
                return WindowRows(stamps, at_once=answers <= 1 and len(stamps) < self._page)

    async def rows(self, table: ModelTable, ids: Sequence[int]) -> dict[int, tuple[RowStamp, Any]]:
        """The rows with these ids as they are now, with their times; those that are there."""
        fields = list(dict.fromkeys((*table.names, CREATED, WRITTEN)))
        found: dict[int, tuple[RowStamp, Any]] = {}
        for at in range(0, len(ids), self._page):
            some = list(ids[at : at + self._page])
            read = await self._client.search_read(table.model.name, [[ID, "in", some]], fields)
            found.update({row[ID]: (stamp_of(row), table.row(row)) for row in read})
        return found

    async def ids(self, model: str) -> array[int]:
        """All ids of a model, in order."""
        ids = array("q")
        while True:
            behind = [[ID, ">", ids[-1]]] if ids else []
            listed = await self._client.search(model, behind, limit=MAX_IDS_PER_QUERY)
            # That there are no more is believed of an empty answer alone.
            if not listed:
                await self._control(model, ids)
                return ids
            self._sizes[model].may_be_cut(len(listed))
            ids.extend(listed)

    async def _control(self, model: str, ids: Sequence[int]) -> None:
        """What is asked by ids and times must find a row that is there, or nothing would ever be new.
        Raises AnswerMismatch.
        """
        for key in (ids[-1], ids[0]) if ids else ():  # One of them may go in between.
            rows = await self._client.search_read(model, [[ID, "=", key]], [CREATED, WRITTEN])
            if rows and (rows[0][CREATED] or rows[0][WRITTEN]) is None:
                return
            since = [changed_since(0), [ID, "=", key]]
            if rows and await self._client.search(model, since, limit=1):
                return
        # Both of them may have gone.
        if ids and await seen_again(partial(self._overlooked, model)) is not None:
            raise AnswerMismatch(
                f"{self._client.where}: model {model!r}: conditions on {ID}, {CREATED} and {WRITTEN} don't "
                "find rows that are there, so that changes would be missed"
            )

    async def _overlooked(self, model: str) -> tuple[int, str] | None:
        """The first row, where it isn't found by its id and its times."""
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

    async def present(self, model: str, ids: Sequence[int]) -> set[int]:
        """Which of these ids the model has."""
        found: set[int] = set()
        inactive = {"active_test": False}
        for at in range(0, len(ids), self._page):
            asked = list(ids[at : at + self._page])
            domain = [[ID, "in", asked]]
            listed = await self._client.call_model(
                model, "search", domain, 0, None, None, context=inactive
            )
            found.update(set(map(int, listed)).intersection(asked))
        return found

    @property
    def now(self) -> int | None:
        """The time by the ERP's clock when it answered last, where it tells it; whole seconds."""
        return self._client.answered_at
