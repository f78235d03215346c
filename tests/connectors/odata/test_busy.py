"""An honest service under a load is never taken for one that doesn't heed what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import pytest

from bridge.connector import TableUse
from connectors.odata.answer import Answer, Request, parsed
from connectors.odata.changed import ChangedPoller
from connectors.odata.client import Client
from connectors.odata.exchange import Exchange
from connectors.odata.keyset_trial import KeysetTrial
from connectors.odata.table import table_of
from tests.between import Asked
from tests.connectors.odata.busy import BusyService
from tests.connectors.odata.test_lying import system_of

SIZES = pytest.mark.parametrize("numbers", [2, 3, 5, 9, 40])
SEEDS = 25

Serve = Callable[[BusyService], BusyService]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Answers come from the service itself, without a network in between."""

    def install(service: BusyService) -> BusyService:
        service.between.address = "http://127.0.0.1:1"

        async def once(
            exchange: Exchange, request: Request, url: str, headers: Mapping[str, str]
        ) -> Answer:
            del exchange
            split = urlsplit(url)
            small = {name.lower(): text for name, text in headers.items()}
            asked = Asked(request.method, f"{split.path}?{split.query}", small, b"")
            service.between.asked.append(asked)
            say = service.answer(asked)
            names = {name.lower(): text for name, text in say.headers.items()}
            return Answer(say.status, names, parsed(names.get("content-type", ""), say.body))

        monkeypatch.setattr(Exchange, "_once", once)
        return service

    return install


@SIZES
async def test_a_trial_of_keys_finds_no_fault(serve: Serve, numbers: int) -> None:
    """Rows that came or went between two questions were taken for a lie of the service."""
    for seed in range(SEEDS):
        service = serve(BusyService(seed, numbers=numbers, most=seed % 4))
        client = Client(system_of(service))
        metadata = await client.metadata()
        for name, moment in (("Plains", ""), ("Suites", "modifiedAt")):
            table = table_of(metadata, TableUse(name))
            order = [one for one in table.properties if one.name == moment] + [*table.key]
            for _ in range(12):
                fault = await KeysetTrial(client, table, order).run()
                assert not fault, (seed, name)
        await client.close()


@SIZES
async def test_times_of_change_are_asked_for_under_any_load(serve: Serve, numbers: int) -> None:
    for seed in range(SEEDS):
        service = serve(BusyService(seed, numbers=numbers))
        client = Client(system_of(service, "Suites"))
        table = table_of(await client.metadata(), TableUse("Suites"))
        poller = ChangedPoller(
            client, table, "modifiedAt", None, page=3, overlap=0.0, monotonic=lambda: 0.0
        )
        await poller.begin()
        for _ in range(100):
            for item in (await poller.step()).items:
                poller.took(item)
            poller.turn()
        service.busy = False
        service.between.asked.clear()
        await poller.begin()
        assert not any("1900" in path for path in service.paths), "another form for good"
        await client.close()
