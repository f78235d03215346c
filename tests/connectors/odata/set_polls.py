"""Polls of one entity set of a real service, with a clock and answers that a test may bend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from bridge.connector import CREATE, DELETE, UPDATE, System, TableUse
from connectors.odata.capture.change_detection import choose_change_detection
from connectors.odata.capture.options import ODataOptions
from connectors.odata.capture.pollers.poller import Poller, PollPage
from connectors.odata.http.client import ODataClient
from connectors.odata.protocol.response import EntityPage, ODataResponse, page_of

WORDS = {CREATE: "create", UPDATE: "update", DELETE: "delete"}
ReportedChange = tuple[str, str, Any]
"""Operation, key, and what `Polls.column` holds."""


@dataclass
class BentReader:
    """`connectors.odata.paging.page_reader.PageReader` over the real client: its answers may be bent."""

    client: ODataClient
    #: What the service's answers say that the time is; None: as it is.
    date: datetime | None = None
    #: What becomes of the JSON of an answer.
    bend: Callable[[Any], Any] = lambda body: body
    #: The query option that the service ignores.
    ignores: str = ""
    queries: list[Mapping[str, str]] = field(default_factory=list)
    #: What a feed's monotonic clock shows.
    now: float = 0.0

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> ODataResponse:
        self.queries.append(params or {})
        kept = {name: text for name, text in (params or {}).items() if name != self.ignores}
        answer = await self.client.get(path, kept or None, prefer=prefer, absolute=absolute)
        headers = dict(answer.headers)
        if self.date is not None:
            headers["date"] = format_datetime(self.date, usegmt=True)
        return replace(answer, headers=headers, body=self.bend(answer.body))

    def page_in(self, answer: ODataResponse) -> EntityPage | None:
        return self.client.page_in(answer)

    async def page(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> EntityPage:
        answer = await self.get(path, params, prefer=prefer, absolute=absolute)
        page = page_of(answer.body)
        assert page is not None
        return page


class Polls:
    """One poller; `now` is its monotonic clock."""

    def __init__(self, reader: BentReader, options: ODataOptions, table: str, column: str) -> None:
        self.reader = reader
        self.now = 1000.0
        self.stale: list[str] = []
        self.poller: Poller
        self._options = options
        self._table = table
        self._column = column

    async def make(self) -> None:
        """A poller that has seen nothing."""
        service = await self.reader.client.metadata()
        use = TableUse(self._table)
        chosen = await choose_change_detection(self.reader, service, use, self._options)
        self.poller = chosen.poller(self.reader, self._options, lambda: self.now)

    async def restart(self, room: int = 1000) -> None:
        """Another process continues where this one is; the checkpoint has room for so many marks."""
        state = self.poller.saved(room)
        await self.make()
        self.poller.restore(state)

    async def page(self) -> tuple[list[ReportedChange], bool]:
        """One page of a poll, and whether there are more."""
        step: PollPage = await self.poller.next_page()
        if step.stale:
            self.stale.append(step.stale)
        names = [p.name for p in self.poller.table.properties]
        changes = []
        for item in step.items:
            row = dict(zip(names, item.row, strict=True)) if item.row else {}
            changes.append((WORDS[item.op], str(item.key[0]), row.get(self._column)))
            self.poller.emitted(item)
        self.poller.end_page()
        return changes, step.more

    async def poll(self, seconds: float = 5.0) -> list[ReportedChange]:
        """A whole poll, so many seconds after the one before."""
        self.now += seconds
        changes, more = await self.page()
        while more:
            page_changes, more = await self.page()
            changes += page_changes
        return changes


def short(rows: int) -> Callable[[Any], Any]:
    """Pages that hold fewer rows than there are, and no link to the others."""

    def bend(body: Any) -> Any:
        return {"value": body["value"][:rows]} if "value" in body else body

    return bend


@asynccontextmanager
async def polling(
    url: str, table: str, *, column: str = "qty", begin: bool = True, **options: Any
) -> AsyncIterator[Polls]:
    """Polls of a table; `options` as under `capture:`."""
    parsed_options = ODataOptions.model_validate({"overlap": 30, **options})
    client = ODataClient(
        System("kit", "erp", url, "http://erp/", parsed_options, (TableUse(table),), 2)
    )
    polls = Polls(BentReader(client), parsed_options, table, column)
    await polls.make()
    if begin:
        await polls.poller.begin()
    try:
        yield polls
    finally:
        await client.close()


def keys(changes: Sequence[ReportedChange]) -> list[str]:
    """The keys that were told, in order."""
    return [key for _, key, _ in changes]


def now() -> datetime:
    """The time, in the milliseconds that the services keep."""
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
