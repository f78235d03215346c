"""What a listing no longer shows is gone once the service says so itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.connector import System, TableUse
from connectors.odata.capture.feed import EntityFeed
from connectors.odata.capture.options import ODataOptions
from connectors.odata.http.client import ODataClient
from tests.connectors.odata.set_polls import WORDS, BentReader
from tests.services.cap import Cap


@asynccontextmanager
async def feeding(
    cap: Cap, rows: int, page: int = 1000
) -> AsyncIterator[tuple[EntityFeed, BentReader]]:
    cap.write("Plains", *({"order_no": f"{n:03}", "qty": 1} for n in range(rows)))
    options, use = ODataOptions(page=page), TableUse("Plains")
    client = ODataClient(System("kit", "erp", cap.url, "http://erp/", options, (use,), 2))
    reader = BentReader(client)
    reader.now = 1.0
    feed = EntityFeed(reader, use, options, lambda: reader.now, lambda: 1.0)
    try:
        await feed.begin(await client.metadata(), None)
        yield feed, reader
    finally:
        await client.close()


def without(*hidden: str) -> Any:
    """Answers in which lists lack these rows."""

    def bend(body: Any) -> Any:
        if "value" not in body:
            return body
        return {**body, "value": [row for row in body["value"] if row["order_no"] not in hidden]}

    return bend


async def poll(feed: EntityFeed) -> tuple[list[tuple[str, str]], list[str]]:
    """A whole poll: what it told, and why the table is to be compared with the log."""
    changes, stale, more = [], [], True
    while more:
        step = await feed.next_page()
        for item in step.items:
            feed.emitted(item)
            changes.append((WORDS[item.op], str(item.key[0])))
        stale += [stale_table.reason for stale_table in step.stale]
        more = feed.end_page()
    return changes, stale


async def test_a_row_that_a_listing_left_out_is_not_gone(cap: Cap) -> None:
    async with feeding(cap, 9) as (feed, reader):
        reader.bend = without("003", "005")
        with cap.client() as erp:
            erp.delete("Plains('005')").raise_for_status()
        assert await poll(feed) == ([("delete", "005")], [])
        reader.bend = lambda body: body
        assert await poll(feed) == ([], [])


async def test_another_row_than_the_one_that_was_asked_for_says_nothing(cap: Cap) -> None:
    """The service ignores the key: that neither this row is there nor that it is gone is known."""
    async with feeding(cap, 9) as (feed, reader):
        hide = without("003")
        reader.bend = lambda body: hide(body) if "value" in body else {**body, "order_no": "001"}
        changes, stale = await poll(feed)
        assert changes == []
        assert stale == ["a listing doesn't show 1 of 9 rows"]


async def test_more_than_are_plausible_are_left_to_a_comparison_with_the_log(cap: Cap) -> None:
    async with feeding(cap, 120) as (feed, reader):
        reader.bend = without(*(f"{n:03}" for n in range(41)))
        changes, stale = await poll(feed)
        assert changes == []
        assert stale == ["a listing doesn't show 41 of 120 rows"]
        assert await poll(feed) == ([], [])


def single_reads(reader: BentReader) -> int:
    """How many rows were asked for one by one since the last call."""
    count = sum("$top" not in params and "$filter" not in params for params in reader.queries)
    reader.queries.clear()
    return count


async def test_rows_that_lists_hide_are_asked_for_ever_more_seldom_and_that_is_told(
    cap: Cap,
) -> None:
    """Up to a hundred reads at each look, for good, and nobody knew."""
    async with feeding(cap, 90) as (feed, reader):
        await poll(feed)
        single_reads(reader)
        assert feed.remark == ""
        reader.bend = without(*(f"{n:03}" for n in range(20)))
        reads = []
        for _ in range(150):
            assert await poll(feed) == ([], [])
            reads.append(single_reads(reader))
            reader.now += 5
        assert reads[0] == 20
        assert sum(reads) <= 20 * 7, "in 750 seconds: at 0, 5, 25, 105 and 425, and every 600"
        assert "leaves out 20" in feed.remark
        with cap.client() as erp:
            erp.delete("Plains('003')").raise_for_status()
        reader.now += 600
        assert await poll(feed) == ([("delete", "003")], [])
        reader.bend = lambda body: body
        assert await poll(feed) == ([], [])
        assert feed.remark == ""
