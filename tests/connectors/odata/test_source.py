"""Capture of real services from end to end, with what goes wrong on the way: the log ends as they do."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.capture.report import status_record
from bridge.connector import Connector, System, TableUse
from bridge.model.specs import EntitySpec
from connectors.odata.capture.options import ODataOptions
from connectors.odata.connector import connector
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, open_harness, until
from tests.conftest import PrivateCap
from tests.connectors.odata.log_promise import LogFile, check
from tests.connectors.odata.set_polls import now
from tests.connectors.odata.write_load import EntitySetUser, ODataWriteLoad, Row
from tests.http_proxy import CUT, DROP, HANG, CannedResponse, ForwardedRequest, HttpProxy
from tests.services.cap import Cap
from tests.services.odatapy import Odatapy

PLAIN = ("order_no", "customer", "qty", "price")
pytestmark = pytest.mark.timeout(300)
SECOND = timedelta(seconds=1)


class LoadedService:
    """A rig's legacy system: what its URL leads to, by this connector."""

    def __init__(self, url: str, **options: Any) -> None:
        self.connector: Connector = connector
        self._url = url
        # Polls take the processor from the service that they ask, and from what they wait for.
        self._options = {"poll": 0.2, "overlap": 3, "reconcile": 0.5, "page": 20, **options}

    def system(self, tables: list[str]) -> System:
        uses = tuple(TableUse(table, (), PLAIN) for table in tables)
        options = ODataOptions.model_validate(self._options)
        return System(BRIDGE, "erp", self._url, "http://erp/", options, uses, 2)

    def run(self, *statements: str) -> None:
        raise NotImplementedError(f"no SQL here: {statements}")

    def rows(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        raise NotImplementedError(f"no SQL here: {query}")

    def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def rig_of(
    folder: Path, url: str, *tables: str, **options: Any
) -> AsyncIterator[CaptureHarness]:
    """A rig whose entities are `suite` over the first table and `plain` over the second."""
    async with open_harness(folder, LoadedService(url, **options)) as rig:
        names = ("suite", "plain")
        specs = [EntitySpec("erp", name, table) for name, table in zip(names, tables, strict=False)]
        await rig.declare(*specs)
        yield rig


async def same(rig: CaptureHarness, service: Cap | Odatapy, entity: str, table: str) -> None:
    """Wait until the log says of a table what the service does, asked for without the bridge."""

    def service_rows() -> dict[str, Row]:
        with service.client() as client:
            rows = EntitySetUser(client, table).rows()
        return {key: {name: row.get(name) for name in PLAIN} for key, row in rows.items()}

    async def equal() -> bool:
        log_state = await rig.state(entity, "order_no")
        plain_rows = {key: {name: row[name] for name in PLAIN} for key, row in log_state.items()}
        return plain_rows == await asyncio.to_thread(service_rows)

    await until(equal, 90)


async def kept(folder: Path, load: ODataWriteLoad) -> None:
    """The weaker promise, exactly."""
    truth = {
        key: [state and {name: state.get(name) for name in PLAIN} for state in states]
        for key, states in load.states.items()
    }
    records_by_key = LogFile(folder / "bridge.db").records_by_key()
    for record in (record for records in records_by_key.values() for record in records):
        if record.change and record.change["after"]:
            record.change["after"] = {name: record.change["after"][name] for name in PLAIN}
    check(records_by_key, truth)


async def troubles(rig: CaptureHarness) -> Mapping[str, str]:
    """What `bridgectl status` would say of single entities."""
    status = (await status_record.statuses(rig.log, BRIDGE)).get("erp")
    return {} if status is None else status.troubles


@asynccontextmanager
async def under_load(
    service: Cap | Odatapy, table: str, seed: int
) -> AsyncIterator[ODataWriteLoad]:
    """A load beside the block; it ends with it."""
    load = ODataWriteLoad(service.client, table, seed, 1000)
    load.start()
    try:
        yield load
    finally:
        await asyncio.to_thread(load.end)


async def test_links_that_expire_in_mid_load_lose_nothing(tmp_path: Path, odatapy: Odatapy) -> None:
    async with rig_of(tmp_path, odatapy.url, "Suites") as rig, rig.capturing():
        async with under_load(odatapy, "Suites", 5) as load:
            for _ in range(4):
                done = load.done
                await until(lambda done=done: load.done > done + 20)  # type: ignore[misc]
                await asyncio.to_thread(odatapy.expire)
        await same(rig, odatapy, "suite", "Suites")
        status = (await status_record.statuses(rig.log, BRIDGE))["erp"]
        assert [result for result in status.results if result["id"].startswith("stale-suite")]
    await kept(tmp_path, load)


async def test_what_becomes_visible_late_is_in_the_log(tmp_path: Path, cap: Cap) -> None:
    """Under changes of other rows, which move the latest moment on."""
    async with rig_of(tmp_path, cap.url, "Suites", overlap=30) as rig, rig.capturing():
        async with under_load(cap, "Suites", 6) as load:
            for number in range(8):
                done = load.done
                await until(lambda done=done: load.done > done + 5)  # type: ignore[misc]
                late = (now() - 4 * SECOND).isoformat()
                row = {"order_no": f"L{number}", "qty": number, "modifiedAt": late}
                await asyncio.to_thread(cap.write, "Suites", row)
        await same(rig, cap, "suite", "Suites")
    records_by_key = LogFile(tmp_path / "bridge.db").records_by_key()
    assert {f"L{number}" for number in range(8)} <= set(records_by_key)


async def test_hundreds_of_rows_of_one_moment_in_small_pages_are_in_the_log(
    tmp_path: Path, private_cap: PrivateCap
) -> None:
    cap = private_cap("none", page=7)
    async with rig_of(tmp_path, cap.url, "Suites") as rig, rig.capturing():
        for qty in range(3):
            at = now().isoformat()
            rows = [{"order_no": f"{n:03}", "qty": qty, "modifiedAt": at} for n in range(200)]
            await asyncio.to_thread(cap.write, "Suites", *rows)
        await same(rig, cap, "suite", "Suites")


def harms(dice: random.Random, table: str) -> Any:
    """A rule that breaks every fifth answer about a table, in one of the ways that there are."""
    half = b'{"@odata.context": "$metadata#X", "value": [{"order_no": "001001", "qty": 5'

    def rule(request: ForwardedRequest) -> CannedResponse | str | None:
        if f"/{table}" not in request.path or dice.random() > 0.2:
            return None
        json = {"Content-Type": "application/json"}
        ways: list[CannedResponse | str] = [
            CannedResponse(200, half, json),
            CannedResponse(200, half, json, length=5000),
            CannedResponse(200, b'{"error": {"code": "500", "message": "deadlock"}}', json),
            CannedResponse(429, b"", {"Retry-After": "0"}),
            CannedResponse(503, b"<html>maintenance</html>", {"Content-Type": "text/html"}),
            CannedResponse(500, b'{"error": {"message": "no more memory"}}', json),
            CannedResponse(502),
            CUT,
            DROP,
            HANG,
        ]
        return dice.choice(ways)

    return rule


@pytest.mark.cap
@pytest.mark.odatapy
@pytest.mark.parametrize("means", ["delta", "changed", "v2", "listing"])
async def test_broken_answers_in_mid_load_lose_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, means: str
) -> None:
    service: Cap | Odatapy = request.getfixturevalue("odatapy" if means == "delta" else "cap")
    table = "Plains" if means == "listing" else "Suites"
    async with HttpProxy(service.address).serving() as between:
        url = between.url(service.v2 if means == "v2" and isinstance(service, Cap) else service.url)
        async with rig_of(tmp_path, url, table, timeout=2) as rig, rig.capturing():
            between.rule = harms(random.Random(8), table)  # noqa: S311 - seeded
            async with under_load(service, table, 8) as load:
                await until(lambda: load.done > 120)
            between.rule = lambda _: None
            await same(rig, service, "suite", table)
    await kept(tmp_path, load)


async def test_a_service_that_is_away_for_a_while_is_waited_for(tmp_path: Path, cap: Cap) -> None:
    async with rig_of(tmp_path, cap.url, "Suites", "Plains") as rig, rig.capturing() as capture:
        async with under_load(cap, "Suites", 9) as load:
            await until(lambda: load.done > 30)
            await asyncio.to_thread(cap.stop)
            await until(lambda: capture.stats.state == "retrying")
            assert capture.stats.reason
            await asyncio.to_thread(cap.start)
            done = load.done
            await until(lambda: load.done > done + 30)
        await same(rig, cap, "suite", "Suites")
    await kept(tmp_path, load)


async def test_a_service_that_says_when_to_come_again_is_left_alone_until_then(
    tmp_path: Path, cap: Cap
) -> None:
    """By every entity set's polls; changes come afterwards."""
    loop = asyncio.get_running_loop()
    refused_at: list[float] = []
    early: list[float] = []

    def rule(request: ForwardedRequest) -> CannedResponse | None:
        at = loop.time()
        if refused_at and at - refused_at[0] < 1.5:
            early.append(at - refused_at[0])
        if "/Suites" in request.path and not refused_at:
            refused_at.append(at)
            return CannedResponse(429, b"", {"Retry-After": "2"})
        return None

    async with HttpProxy(cap.address).serving() as between:
        url = between.url(cap.url)
        # No comparisons: those are reads beside the polls.
        tables = ("Suites", "Plains")
        rig_context = rig_of(tmp_path, url, *tables, reconcile=600)
        async with rig_context as rig, rig.capturing() as capture:
            await until(
                lambda: not capture.stats.progress.jobs,
                describe=lambda: (capture.stats, rig.notices[-5:]),
            )
            between.rule = rule
            await until(lambda: refused_at)
            await asyncio.to_thread(cap.write, "Suites", {"order_no": "A", "qty": 1})
            await same(rig, cap, "suite", "Suites")
    assert not early


REFUSALS = {
    "403": CannedResponse(
        403, b'{"error": {"message": "no rights"}}', {"Content-Type": "application/json"}
    ),
    "404": CannedResponse(
        404, b'{"error": {"message": "no such set"}}', {"Content-Type": "application/json"}
    ),
    "500": CannedResponse(
        500, b'{"error": {"message": "it broke"}}', {"Content-Type": "application/json"}
    ),
    "502": CannedResponse(502),
    "page": CannedResponse(
        200, b"<html><title>Sign in</title></html>", {"Content-Type": "text/html"}
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_one_set_that_cannot_be_read_is_told_and_the_others_go_on(
    tmp_path: Path, cap: Cap, kind: str
) -> None:
    """Once it can be read again it is compared, so that what was missed is made up for."""
    cap.write("Plains", *({"order_no": f"{n}", "qty": 1} for n in range(9)))
    async with HttpProxy(cap.address).serving() as between:
        url = between.url(cap.url)
        async with rig_of(tmp_path, url, "Suites", "Plains") as rig, rig.capturing() as capture:
            between.rule = lambda request: REFUSALS[kind] if "/Plains" in request.path else None
            await until(lambda: capture.stats.troubles)
            with cap.client() as erp:
                for path in ("Plains('3')", "Plains('4')"):
                    erp.delete(path).raise_for_status()
            cap.write("Plains", {"order_no": "7", "qty": 2}, {"order_no": "new", "qty": 1})
            cap.write("Suites", {"order_no": "A", "qty": 1})
            await same(rig, cap, "suite", "Suites")
            await until(lambda: capture.stats.state == "streaming")

            async def is_reported() -> bool:
                set_troubles = await troubles(rig)
                return set(set_troubles) == {"plain"} and "Plains" in set_troubles["plain"]

            await until(is_reported)
            between.rule = lambda _: None
            await same(rig, cap, "plain", "Plains")
            await until(lambda: not capture.stats.troubles)


async def test_a_set_that_is_not_in_the_metadata_is_captured_once_it_is(
    tmp_path: Path, cap: Cap
) -> None:
    """As where a service is changed, and its new version comes later than the configuration."""
    cap.write("Plains", *({"order_no": f"{n}", "qty": 1} for n in range(5)))

    def lacking(request: ForwardedRequest) -> CannedResponse | None:
        if "/$metadata" in request.path:
            login = {"Authorization": request.headers["authorization"]}
            response = httpx.get(
                cap.address + request.path, headers=login, trust_env=False, timeout=60
            )
            text = re.sub(r'<EntitySet Name="Plains"[^>]*?(/>|>.*?</EntitySet>)', "", response.text)
            return CannedResponse(200, text.encode(), {"Content-Type": "application/xml"})
        return CannedResponse(404) if "/Plains" in request.path else None

    async with HttpProxy(cap.address).serving() as between:
        between.rule = lacking
        url = between.url(cap.url)
        async with rig_of(tmp_path, url, "Suites", "Plains") as rig:
            running = rig.capturing()
            task = asyncio.ensure_future(running.__aenter__())
            cap.write("Suites", {"order_no": "A", "qty": 1})
            await same(rig, cap, "suite", "Suites")
            between.rule = lambda _: None
            await task
            try:
                await same(rig, cap, "plain", "Plains")
            finally:
                await running.__aexit__(None, None, None)


async def test_where_no_set_can_be_read_capture_goes_on_once_one_can(
    tmp_path: Path, cap: Cap
) -> None:
    """A service that is being installed again answers 404 everywhere, its metadata included."""
    async with HttpProxy(cap.address).serving() as between:
        url = between.url(cap.url)
        async with rig_of(tmp_path, url, "Suites") as rig, rig.capturing() as capture:
            for rule in (
                lambda request: CannedResponse(404) if "/Suites" in request.path else None,
                lambda _: CannedResponse(404),
            ):
                between.rule = rule
                await until(lambda: capture.stats.state == "retrying")
                assert "404" in capture.stats.reason
                await asyncio.to_thread(cap.write, "Suites", {"order_no": "A", "qty": 1})
                between.rule = lambda _: None
                await same(rig, cap, "suite", "Suites")
                await until(lambda: capture.stats.state == "streaming")
