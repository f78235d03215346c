"""Filters by a property that every change raises, and whether the service obeys them."""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import Rejected
from connectors.odata.capture.pollers.service_clock import timestamp_of
from connectors.odata.http.errors import is_refusal
from connectors.odata.metadata.model import Property
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.query import query_options, since_filter

LONG_AGO = datetime(1900, 1, 1)  # noqa: DTZ001 - of types without a zone too
"""Earlier than any change, and later than the first timestamp that databases hold."""
FINDS_NOTHING = "`$filter` by the timestamp doesn't find existing rows"
SAMPLE_ROWS = 20
"""Number of rows in which a timestamp is searched."""


class TimestampFilter:
    """`any_timestamp` finds every row that has a timestamp, in the form that the service accepts."""

    def __init__(self, reader: PageReader, table: EntitySetTable, timestamp: Property) -> None:
        self._reader = reader
        self._table = table
        self._property = timestamp
        self._at = [p.name for p in table.properties].index(timestamp.name)
        self.any_timestamp = f"{timestamp.name} ne null"
        self._null_tried = False

    def newest(self, filtered: str, rows: int) -> dict[str, str]:
        """Query options for the newest rows that a filter finds."""
        params = query_options(self._table, filtered=filtered, top=rows)
        params["$orderby"] = f"{self._property.name} desc"
        return params

    async def finds(self, filtered: str) -> bool:
        """Whether any row comes."""
        return bool((await self._reader.page(self._table.name, self.newest(filtered, 1))).rows)

    async def _sample(self, since: datetime | None) -> set[tuple[datetime, Row]]:
        """Timestamps (from `since` on) and keys of the newest rows, read without a filter."""
        page = await self._reader.page(self._table.name, self.newest("", SAMPLE_ROWS))
        rows = [complete_row(self._table, json) for json in page.rows]
        stamps = [(timestamp_of(row[self._at]), self._table.key_of(row)) for row in rows]
        return {
            (at, key) for at, key in stamps if at is not None and (since is None or at >= since)
        }

    async def overlooks(self, filtered: str, since: datetime | None = None) -> bool:
        """Whether a filter (for timestamps from `since` on) misses a row that existed unchanged before
        and after the request: rows that come and go meanwhile prove nothing.
        """
        before = await self._sample(since)
        if not before or await self.finds(filtered):
            return False
        return bool(before & await self._sample(since))

    def _since_long_ago(self) -> str:
        zone = UTC if self._property.edm == "Edm.DateTimeOffset" else None
        return since_filter(self._table, self._property, LONG_AGO.replace(tzinfo=zone))

    async def try_null(self) -> None:
        """Test once whether the service supports `ne null`; otherwise another filter is used."""
        if self._null_tried:
            return
        try:
            await self.finds(self.any_timestamp)
        except Rejected as error:
            if not is_refusal(error):
                raise
            self.any_timestamp = self._since_long_ago()
        self._null_tried = True

    async def check_finds_rows(self) -> None:
        """By the service's answer no row has a timestamp, but it may not support `ne null`. Raises
        AnswerMismatch if another filter finds none either.
        """
        if not await self.overlooks(self.any_timestamp):
            return
        self.any_timestamp = self._since_long_ago()
        if await self.overlooks(self.any_timestamp):
            raise self.mismatch(FINDS_NOTHING)

    def mismatch(self, fault: str) -> AnswerMismatch:
        """The error if the set can't be filtered by its timestamp."""
        return AnswerMismatch(
            f"entity set {self._table.name!r}: its changes can't be read by {self._property.name}: "
            f"{fault}; set `change_detection: listing` for it under capture.sets, or make the service obey "
            "`$filter` and `$orderby`"
        )

    async def has_rows_without_timestamp(self) -> bool:
        """Whether there are rows without a timestamp, which no poll brings."""
        if not self._property.nullable:
            return False
        params = query_options(self._table, filtered=f"{self._property.name} eq null", top=1)
        try:
            rows = (await self._reader.page(self._table.name, params)).rows
        except Rejected as error:
            if not is_refusal(error):
                raise
            # Nulls come first or last in the order, as each database has it.
            ends = [self.newest("", 1), query_options(self._table, order=[self._property], top=1)]
            pages = [await self._reader.page(self._table.name, params) for params in ends]
            rows = [row for page in pages for row in page.rows]
        # A service that ignores the filter returns other rows.
        return any(complete_row(self._table, json)[self._at] is None for json in rows)
