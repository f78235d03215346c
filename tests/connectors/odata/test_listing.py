"""Changes by comparing listings: what is remembered, and what is never taken for deleted."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from bridge.connector import System, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import RetryLater
from connectors.odata.capture.options import ODataOptions
from connectors.odata.capture.pollers.listing import ListingPoller
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from tests.connectors.odata.set_polls import polling, short
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy
from tests.services.cap import Cap


def plain(key: str, qty: int) -> dict[str, Any]:
    return {"order_no": key, "qty": qty}


async def test_what_came_changed_and_went_is_told(cap: Cap) -> None:
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(7)))
    async with polling(cap.url, "Plains", page=3) as polls:
        assert await polls.poll() == []
        cap.write("Plains", plain("02", 2), plain("99", 1))
        with cap.client() as erp:
            erp.delete("Plains('05')").raise_for_status()
        assert await polls.poll() == [
            ("update", "02", 2),
            ("create", "99", 1),
            ("delete", "05", None),
        ]
        await polls.restart()
        assert await polls.poll() == []
        cap.write("Plains", plain("05", 1))
        assert await polls.poll() == [("create", "05", 1)]


async def test_a_set_of_more_rows_than_are_remembered_is_left_to_comparisons_with_the_log(
    cap: Cap,
) -> None:
    """Without that, each look would tell all of its rows."""
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(7)))
    async with polling(cap.url, "Plains", page=3, max_listed_rows=5) as polls:
        assert isinstance(polls.poller, ListingPoller)
        assert not polls.poller.whole
        polls.reader.queries.clear()
        cap.write("Plains", plain("02", 2))
        assert await polls.poll() == []
        assert not polls.reader.queries


async def test_a_set_that_grows_beyond_what_is_remembered_tells_nothing_gone(cap: Cap) -> None:
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(4)))
    async with polling(cap.url, "Plains", page=3, max_listed_rows=5) as polls:
        cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(4, 9)))
        changes = await polls.poll()
        assert {op for op, _, _ in changes} == {"create"}
        assert await polls.poll() == []


async def test_rows_that_a_short_page_hides_are_not_taken_for_deleted(cap: Cap) -> None:
    """Some services give fewer rows than they are asked for, and no link to the others."""
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(9)))
    async with polling(cap.url, "Plains", page=5) as polls:
        polls.reader.bend = short(2)
        assert await polls.poll() == []
        cap.write("Plains", plain("08", 2))
        assert await polls.poll() == [("update", "08", 2)]


@pytest.mark.parametrize("key", [7, 0.5, True, [], {}, None, ["01"], {"order_no": "01"}])
async def test_a_key_of_another_type_is_neither_taken_nor_remembered(cap: Cap, key: Any) -> None:
    """Remembered, its delete was asked about at every later look, and refused, for ever."""
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(4)))

    def bend(body: Any) -> Any:
        return {**body, "value": [{**row, "order_no": key} for row in body["value"]]}

    async with polling(cap.url, "Plains", page=5) as polls:
        polls.reader.bend, honest = bend, polls.reader.bend
        with pytest.raises((RetryLater, AnswerMismatch)):
            await polls.poll()
        polls.reader.bend = honest
        cap.write("Plains", plain("02", 2))
        assert await polls.poll() == [("update", "02", 2)]
        state = polls.poller.saved(1_000)
        polls.poller._remembered[key if isinstance(key, (int, float)) else 5,] = b"x" * 16  # type: ignore[attr-defined]
        polls.poller.restore(polls.poller.saved(1_000))
        assert polls.poller.saved(1_000) == state


async def test_a_quiet_look_costs_one_request(cap: Cap) -> None:
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(9)))
    async with polling(cap.url, "Plains") as polls:
        polls.reader.queries.clear()
        await polls.poll()
        assert len(polls.reader.queries) == 1


async def test_a_service_that_ignores_filters_is_read_by_its_own_links(cap: Cap) -> None:
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(9)))
    async with polling(cap.url, "Plains", page=3, begin=False) as polls:
        polls.reader.ignores = "$filter"
        await polls.poller.begin()
        cap.write("Plains", plain("08", 2), plain("99", 1))
        assert await polls.poll() == [("update", "08", 2), ("create", "99", 1)]


async def test_a_snapshot_believes_only_an_empty_page_that_there_is_no_more(cap: Cap) -> None:
    """What a reconcile doesn't meet, it deletes from the log."""
    cap.write("Plains", *(plain(f"{n:02}", 1) for n in range(9)))

    def shorter(request: ForwardedRequest) -> CannedResponse | None:
        if "/Plains" not in request.path:
            return None
        login = {"Authorization": request.headers["authorization"]}
        path = request.path if filters else re.sub(r"&?\$filter=[^&]*", "", request.path)
        changes = httpx.get(cap.address + path, headers=login, trust_env=False, timeout=60).json()
        body = json.dumps({"value": changes["value"][:2]}).encode()
        return CannedResponse(200, body, {"Content-Type": "application/json"})

    filters = True
    async with HttpProxy(cap.address).serving() as between:
        between.rule = shorter
        url = between.url(cap.url)
        snapshot = ODataSnapshot(
            System("kit", "erp", url, url, ODataOptions(), (TableUse("Plains"),), connections=2)
        )
        chunk = await snapshot.chunk("Plains", None, None, 100)
        at = [column.name for column in chunk.shape.columns].index("order_no")
        assert [row[at] for row in chunk.rows] == [f"{n:02}" for n in range(9)]
        assert chunk.last is None
        assert len((await snapshot.keys("Plains", None, 5)).rows) == 5
        filters = False
        with pytest.raises(AnswerMismatch, match=r"same rows after any key.* has no link to them"):
            await snapshot.chunk("Plains", None, None, 100)
        await snapshot.close()


def test_defaults_are_what_the_documentation_says() -> None:
    options = ODataOptions()
    assert (options.poll, options.overlap, options.reconcile) == (5, 30, 600)
    assert (options.page, options.max_listed_rows) == (1000, 100_000)
