"""Pages that only the service's own links lead to: those may expire, and pages may be empty."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest

from bridge.connector import DELETE, Change, Chunk, System, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import HistoryLost, Rejected, RetryLater
from connectors.odata.capture.options import ODataOptions
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.capture.source import ODataSource
from tests.connectors.odata.set_polls import polling
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy, alone
from tests.services.cap import Cap
from tests.waiting import until

METADATA = b"""<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
<edmx:DataServices><Schema Namespace="S" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="Thing"><Key><PropertyRef Name="ID"/></Key>
<Property Name="ID" Type="Edm.Int32" Nullable="false"/><Property Name="name" Type="Edm.String"/>
</EntityType><EntityContainer Name="C"><EntitySet Name="Things" EntityType="S.Thing">
<Annotation Term="Org.OData.Capabilities.V1.SortRestrictions"><Record>
<PropertyValue Property="Sortable" Bool="false"/></Record></Annotation>
</EntitySet></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""
LISTED: dict[str, Any] = {"sets": {"Things": {"change_detection": "listing"}}}
EXPIRED = pytest.mark.parametrize("status", [410, 404])


class Things:
    """A service that can neither filter nor sort: two rows a page, and links that expire."""

    def __init__(self, status: int) -> None:
        self.rows = dict.fromkeys(range(1, 8), "a")
        self._status = status
        self._age = 0

    def expire(self) -> None:
        self._age += 1

    def __call__(self, request: ForwardedRequest) -> CannedResponse:
        if "$metadata" in request.path:
            return CannedResponse(200, METADATA, {"Content-Type": "application/xml"})
        token = re.search(r"skiptoken=(\d+)-(\d+)", request.path)
        age, at = (int(token[1]), int(token[2])) if token else (self._age, 0)
        if age != self._age:
            return CannedResponse(self._status)
        rows = [{"ID": key, "name": name} for key, name in sorted(self.rows.items())]
        body: dict[str, object] = {"value": rows[at : at + 2]}
        if at + 2 < len(rows):
            body["@odata.nextLink"] = f"Things?$skiptoken={age}-{at + 2}"
        return CannedResponse(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


@asynccontextmanager
async def served(things: Things) -> AsyncIterator[str]:
    async with alone(things).serving() as service:
        yield f"{service.address}/"


def system(url: str, **options: object) -> System:
    parsed_options = ODataOptions.model_validate({"poll": 0.01, "page": 2, **options})
    return System("kit", "erp", url, "http://erp/", parsed_options, (TableUse("Things"),), 2)


@EXPIRED
async def test_a_listing_whose_link_expired_begins_again(status: int) -> None:
    things = Things(status)
    async with (
        served(things) as url,
        polling(url, "Things", column="name", page=2, **LISTED) as polls,
    ):
        things.rows |= {1: "b", 7: "b"}
        assert await polls.page() == ([("update", "1", "b")], True)
        things.expire()
        with pytest.raises((HistoryLost, Rejected)):
            await polls.page()
        assert await polls.poll() == [("update", "7", "b")]


@EXPIRED
async def test_a_link_that_expired_is_no_lost_history(status: int) -> None:
    """That would stop all of the system, for one page of one entity set."""
    things = Things(status)
    async with served(things) as url:
        source = ODataSource(system(url, **LISTED))
        await source.open(None)
        changes: list[Change] = []

        async def read_until_it_comes(*row: object) -> bool:
            with suppress(RetryLater):  # as for a service of which nothing can be read
                changes.extend((await source.read(1, 0.05)).changes)
            return any(change.new == row for change in changes)

        async def comes(*row: object) -> None:
            await until(partial(read_until_it_comes, *row), describe=lambda: changes)

        for name in ("b", "c", "d"):
            things.rows |= {1: name, 7: name}
            await comes(1, name)
            things.expire()
            await comes(7, name)
        assert not [change for change in changes if change.op == DELETE]
        await source.close()


@EXPIRED
async def test_a_snapshot_whose_link_expired_is_taken_from_the_beginning(status: int) -> None:
    """Its place is in the log, and may be days old when the bridge is started again."""
    things = Things(status)
    async with served(things) as url:
        snapshot = ODataSnapshot(system(url))
        chunk = await snapshot.chunk("Things", None, None, 2)
        chunk = await snapshot.chunk("Things", None, chunk.last, 2)
        things.expire()
        met = []
        while chunk.last is not None:
            chunk = await snapshot.chunk("Things", None, chunk.last, 2)
            met += [row[0] for row in chunk.rows]
        assert met == [1, 2, 3, 4, 5, 6, 7]
        await snapshot.close()


def empty(request: ForwardedRequest) -> CannedResponse | None:
    """First a page without rows, and a link to what stands behind it."""
    if "/Plains" not in request.path or "behind=" in request.path:
        return None
    more = "&" if "?" in request.path else "?"
    body = {"value": [], "@odata.nextLink": f"{request.path}{more}behind=1"}
    return CannedResponse(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


async def test_an_empty_page_with_a_link_is_not_the_end(cap: Cap) -> None:
    """Some services filter a page after they have cut it. What isn't met is taken for deleted."""
    cap.write("Plains", *({"order_no": f"{n:02}", "qty": 1} for n in range(7)))
    async with HttpProxy(cap.address).serving() as between:
        between.rule = empty
        url = between.url(cap.url)
        of = System("kit", "erp", url, "http://erp/", ODataOptions(), (TableUse("Plains"),), 2)
        snapshot = ODataSnapshot(of)
        reads: list[Callable[[Any], Awaitable[Chunk]]] = [
            lambda after: snapshot.chunk("Plains", None, after, 3),
            lambda after: snapshot.keys("Plains", after, 3),
        ]
        for read in reads:
            chunk = await read(None)
            number = len(chunk.rows)
            while chunk.last is not None:
                chunk = await read(chunk.last)
                number += len(chunk.rows)
            assert number == 7
        await snapshot.close()
        between.rule = lambda _: None
        async with polling(url, "Plains", page=3) as polls:
            between.rule = empty
            assert await polls.poll() == []
            cap.write("Plains", {"order_no": "05", "qty": 2})
            assert await polls.poll() == [("update", "05", 2)]


async def test_empty_pages_that_lead_to_themselves_are_refused(cap: Cap) -> None:
    def circle(request: ForwardedRequest) -> CannedResponse | None:
        body = {"value": [], "@odata.nextLink": request.path}
        say = CannedResponse(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return say if "/Plains" in request.path else None

    between = HttpProxy(cap.address)
    async with between.serving(), polling(between.url(cap.url), "Plains", page=3) as polls:
        between.rule = circle
        with pytest.raises(Rejected, match="form a circle"):
            await polls.poll()


@pytest.mark.parametrize("rows", [[], [{"ID": 1, "name": "a"}]])
async def test_a_link_to_its_own_page_ends_a_snapshot_s_chunk(rows: list[dict[str, Any]]) -> None:
    """Followed for ever, with rows or without, the snapshot would neither end nor tell why."""
    body = {"value": rows, "@odata.nextLink": "Things?$skiptoken=1"}

    def circle(request: ForwardedRequest) -> CannedResponse:
        if "$metadata" in request.path:
            return CannedResponse(200, METADATA, {"Content-Type": "application/xml"})
        return CannedResponse(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    between = alone(circle)
    async with between.serving():
        snapshot = ODataSnapshot(system(f"{between.address}/"))

        async def to_its_end() -> None:
            after: list[Any] | None = None
            for _ in range(3):
                after = (await snapshot.chunk("Things", None, after, 10)).last

        with pytest.raises(AnswerMismatch, match="its links form a circle"):
            await to_its_end()
        await snapshot.close()
    assert len(between.requests) < 6


async def test_very_many_empty_pages_are_followed_to_their_end() -> None:
    def far(request: ForwardedRequest) -> CannedResponse:
        if "$metadata" in request.path:
            return CannedResponse(200, METADATA, {"Content-Type": "application/xml"})
        match = re.search(r"skiptoken=(\d+)", request.path)
        at = int(match[1]) if match else 0
        body: dict[str, object] = {"value": [], "@odata.nextLink": f"Things?$skiptoken={at + 1}"}
        if at == 400:
            body = {"value": [{"ID": 1, "name": "a"}]}
        return CannedResponse(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    between = alone(far)
    async with between.serving():
        snapshot = ODataSnapshot(system(f"{between.address}/"))
        chunk = await snapshot.chunk("Things", None, None, 10)
        assert len(chunk.rows) == 1
        await snapshot.close()


class Ring:
    """Pages of one row each, in a ring: what the last one links to is a page that came before."""

    def __init__(self, pages: int, back_to: int, *, rows: bool) -> None:
        self._pages, self._back_to, self._rows = pages, back_to, rows

    def __call__(self, request: ForwardedRequest) -> CannedResponse:
        if "$metadata" in request.path:
            return CannedResponse(200, METADATA, {"Content-Type": "application/xml"})
        token = re.search(r"skiptoken=(\d+)", request.path)
        at = int(token[1]) if token else 0
        following = at + 1 if at + 1 < self._pages else self._back_to
        body = {
            "value": [{"ID": at, "name": "a"}] if self._rows else [],
            "@odata.nextLink": f"Things?$skiptoken={following}",
        }
        return CannedResponse(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("back_to", [1, 2])
async def test_a_ring_of_several_pages_is_seen(back_to: int, *, rows: bool) -> None:
    """Not all rings lead to the page before, or to the first one."""
    between = alone(Ring(4, back_to, rows=rows))
    async with between.serving():
        url = f"{between.address}/"
        snapshot = ODataSnapshot(system(url))

        async def to_its_end() -> None:
            after: list[Any] | None = None
            for _ in range(9):
                after = (await snapshot.chunk("Things", None, after, 10)).last

        with pytest.raises(AnswerMismatch, match="its links form a circle"):
            await to_its_end()
        await snapshot.close()
        async with polling(url, "Things", column="name", begin=False, page=2, **LISTED) as polls:
            for _ in range(9):
                try:
                    await polls.page()
                except Rejected as error:
                    assert "form a circle" in str(error)  # noqa: PT017 - of one of these pages
                    break
            else:
                pytest.fail("it is followed for ever")


async def test_a_chunk_that_is_read_once_more_is_no_circle() -> None:
    """Where one could not be handed on, it is asked for again, by the same link."""
    things = Things(410)
    async with served(things) as url:
        snapshot = ODataSnapshot(system(url))
        chunk = await snapshot.chunk("Things", None, None, 2)
        met = [row[0] for row in chunk.rows]
        while chunk.last is not None:
            for _ in range(2):
                again = await snapshot.chunk("Things", None, chunk.last, 2)
            chunk = again
            met += [row[0] for row in chunk.rows]
        assert met == [1, 2, 3, 4, 5, 6, 7]
        await snapshot.close()
