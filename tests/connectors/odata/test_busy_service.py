"""An honest service under a load is never taken for one that ignores options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.connector import Ask, TableUse
from connectors.odata.capture.pollers.changed import ChangedPoller
from connectors.odata.capture.pollers.listing import ListingPoller
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.http.client import ODataClient
from connectors.odata.http.transport import ODataTransport
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.paging.keyset_pages import KeysetPages
from connectors.odata.paging.keyset_trial import KeysetTrial
from connectors.odata.protocol.entity_table import build_table
from connectors.odata.protocol.request import ODataRequest
from connectors.odata.protocol.response import ODataResponse, parse_body
from tests.connectors.odata.busy_service import BusyService
from tests.connectors.odata.test_lying_service import system_of
from tests.example_counts import examples
from tests.http_proxy import ForwardedRequest

SIZES = pytest.mark.parametrize("numbers", [2, 3, 5, 9, 40])
SEEDS = examples(12)

Serve = Callable[[BusyService], BusyService]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Answers come from the service itself, without a network in between."""

    def install(service: BusyService) -> BusyService:
        service.between.address = "http://127.0.0.1:1"

        async def once(
            exchange: ODataTransport, request: ODataRequest, headers: Mapping[str, str]
        ) -> ODataResponse:
            split = urlsplit(exchange._url(request.path))
            small = {name.lower(): text for name, text in headers.items()}
            received = ForwardedRequest(request.method, f"{split.path}?{split.query}", small, b"")
            service.between.requests.append(received)
            say = service.answer(received)
            names = {name.lower(): text for name, text in say.headers.items()}
            return ODataResponse(
                say.status, names, parse_body(names.get("content-type", ""), say.body)
            )

        monkeypatch.setattr(ODataTransport, "_once", once)
        return service

    return install


@SIZES
async def test_a_trial_of_keys_finds_no_fault(serve: Serve, numbers: int) -> None:
    """Rows that came or went between two questions were taken for a lie of the service."""
    for seed in range(SEEDS):
        service = serve(BusyService(seed, numbers=numbers, most=seed % 4))
        client = ODataClient(system_of(service))
        metadata = await client.metadata()
        for name, moment in (("Plains", ""), ("Suites", "modifiedAt")):
            table = build_table(metadata, TableUse(name))
            order = [p for p in table.properties if p.name == moment] + [*table.key]
            for _ in range(12):
                fault = await KeysetTrial(client, table, KeysetPages(table, order)).run()
                assert not fault, (seed, name)
        await client.close()


@pytest.mark.parametrize("by_key", [True, False])
@SIZES
async def test_a_snapshot_is_refused_by_no_load(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, numbers: int, *, by_key: bool
) -> None:
    """As many rows came as went while it was read: it gave fewer than are counted."""
    if not by_key:
        monkeypatch.setattr(
            "connectors.odata.capture.snapshot.keyset_chunks.can_page_by_key", lambda _: False
        )
    for seed in range(SEEDS):
        service = serve(BusyService(seed, numbers=numbers, page=7))
        snapshot = ODataSnapshot(system_of(service, "Plains"))
        for _ in range(8):
            service.watch()
            met: set[str] = set()
            after = None
            while True:
                chunk = await snapshot.chunk("Plains", None, after, 3)
                met |= {row[0] for row in chunk.rows}
                after = chunk.last
                if after is None:
                    break
            assert not snapshot.fault("Plains"), seed
            assert not by_key or service.stayed <= met
        await snapshot.close()


@pytest.mark.parametrize("by_key", [True, False])
@SIZES
async def test_a_listing_keeps_its_way_under_a_load(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, numbers: int, *, by_key: bool
) -> None:
    if not by_key:
        monkeypatch.setattr(
            "connectors.odata.capture.pollers.listing.can_page_by_key", lambda _: False
        )
    for seed in range(SEEDS):
        service = serve(BusyService(seed, numbers=numbers, page=7))
        client = ODataClient(system_of(service, "Plains"))
        table = build_table(await client.metadata(), TableUse("Plains"))
        poller = ListingPoller(client, table, page=5, limit=1000)
        await poller.begin()
        for _ in range(150):
            for item in (await poller.next_page()).items:
                poller.emitted(item)
            poller.end_page()
        service.busy = False
        service.between.requests.clear()
        await poller.begin()
        assert poller.size == len(service.sets["Plains"])
        first = service.paths[0]
        assert "count" in first, (seed, service.paths)
        assert ("$orderby" in first) == by_key
        await client.close()


@SIZES
async def test_times_of_change_are_asked_for_under_any_load(serve: Serve, numbers: int) -> None:
    for seed in range(SEEDS):
        service = serve(BusyService(seed, numbers=numbers))
        client = ODataClient(system_of(service, "Suites"))
        table = build_table(await client.metadata(), TableUse("Suites"))
        poller = ChangedPoller(
            client, table, "modifiedAt", None, page=3, overlap=0.0, monotonic=lambda: 0.0
        )
        await poller.begin()
        for _ in range(100):
            for item in (await poller.next_page()).items:
                poller.emitted(item)
            poller.end_page()
        service.busy = False
        service.between.requests.clear()
        await poller.begin()
        assert not any("1900" in path for path in service.paths), "another form for good"
        await client.close()


@SIZES
async def test_lookups_of_rows_that_come_and_go_prove_nothing(serve: Serve, numbers: int) -> None:
    questions: list[tuple[list[str], list[tuple[Any, ...]]]] = [
        (["order_no"], [("K000",), ("none",)]),
        (["customer", "qty"], [("C1", 1), ("none", 0)]),
        (["customer"], [("none",), ("C2",)]),
        (["qty"], [(77,), (78,)]),
    ]
    for seed in range(SEEDS):
        service = serve(BusyService(seed, numbers=numbers))
        for columns, keys in questions:
            reader = ODataReader(system_of(service, "Plains"))
            for _ in range(8):
                await reader.fetch(Ask("Plains", columns, keys))
            service.between.requests.clear()
            await reader.fetch(Ask("Plains", columns, keys))
            assert "$filter" in service.paths[0], (seed, columns)
            assert len(columns) > 1 or " in " in service.paths[0]
            await reader.close()
