"""The ceiling over all connections of the bridge, as PostgreSQL itself sees them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from bridge.config.load import load
from bridge.connector import Ask
from bridge.gateway.limits.admission_request import WorkClass
from bridge.model.errors import RetryLater
from bridge.model.receipt import Outcome
from bridge.observe import Notice, ReadRefused
from bridge.wiring import Bridge, open_bridge
from bridge.wiring.connectors import build_system, load_connector
from bridge.wiring.system_limits import bound_findings
from tests.cli.bridge_folder import PROGRAM
from tests.waiting import ended, until
from tests.wiring.test_altered import RunningBridge

CEILING = 11
"""Capture 5, commands, catalogue and surfaces 1 each: 3 are left for reads, of the 8 they may have."""
SYSTEM = f"""
system: erp
connector: postgres
url: ${{env:ERP_URL}}
limits: {{connections: 8, total_connections: {CEILING}}}
entities:
  stock: {{from: stock}}
commands:
  take:
    entity: stock
    run: "update stock set qty = qty - 1 where id = :key"
    tier: outside_the_loop
"""


class SessionCounter:
    """Counts the sessions of a role all the time, by a connection of its own."""

    def __init__(self, url: str, role: str) -> None:
        self.most = 0
        self.parts: Counter[str] = Counter()
        """The most of each part at the same time."""
        self._url, self._role = url, role
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _count(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._ends.wait(0.002):
                rows = connection.execute(
                    "SELECT application_name FROM pg_stat_activity WHERE usename = %s",
                    [self._role],
                ).fetchall()
                self.most = max(self.most, len(rows))
                parts = Counter(name.rpartition(" ")[2] for (name,) in rows)
                for part, count in parts.items():
                    self.parts[part] = max(self.parts[part], count)


@pytest.fixture
def erp(
    postgres: Any, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str, Any]]:
    """The configuration's folder, the bridge's role, and a legacy program's own connection."""
    role = f"bridge_{database.rpartition('/')[2]}"
    postgres.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'pw'")
    name = database.rpartition("/")[2]
    monkeypatch.setenv("ERP_URL", postgres.url_of(name, role, "pw"))
    (tmp_path / "systems").mkdir()
    (tmp_path / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///log.db\nsystems: systems/*.yaml\n"
    )
    (tmp_path / "systems" / "erp.yaml").write_text(SYSTEM)
    with closing(psycopg.connect(database, autocommit=True)) as db:
        db.execute("CREATE TABLE stock (id integer PRIMARY KEY, qty integer, note varchar(40))")
        db.execute("INSERT INTO stock SELECT n, 100, 'x' FROM generate_series(1, 2000) n")
        try:
            yield tmp_path, role, db
        finally:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role]
            )
            db.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}")
            db.execute(f"DROP ROLE {role}")


async def ask_on(
    bridge: Bridge, work: WorkClass, stop: asyncio.Event, outcomes: Counter[str], number: int
) -> None:
    """One of many callers of a class, who asks again and again and can wait for three seconds."""
    gateway = bridge._gateways["erp"]
    limiter, reader = gateway.limiter, gateway._reads._reader
    while not stop.is_set():
        number = number * 7919 % 2000
        keys = [(number + each,) for each in range(300)]
        deadline = limiter.now() + 3
        try:
            query = await limiter.acquire(work, deadline, sheddable=True)
        except RetryLater as error:
            outcomes[f"{work.name} heard why"] += bool(str(error))
            outcomes[f"{work.name} refused"] += 1
            await asyncio.sleep(0.01)
            continue
        try:
            outcomes[f"{work.name} late"] += query.admission.started > deadline
            await reader.fetch(Ask("stock", ("id",), keys))
        finally:
            limiter.release(query)
        outcomes[work.name] += 1
        outcomes[f"{work.name} in time"] += limiter.now() <= deadline


async def test_the_sessions_of_the_whole_bridge_never_exceed_the_ceiling(erp: Any) -> None:
    """Ten callers of each class with far more than the reads' connections, capture with its first
    snapshot, commands, a hundred reads at once, and `bridgectl get` beside them.
    """
    folder, role, db = erp
    notices: list[Notice] = []
    outcomes: Counter[str] = Counter()
    with SessionCounter(db.info.dsn + " password=" + (db.info.password or ""), role) as sessions:
        async with open_bridge(load(folder / "bridge.yaml"), notices.append, runs=True) as bridge:
            connector, system = bridge.system("erp")
            assert system.connections == 3
            await connector.setup(system)
            await bridge.create_topics()
            reads = await bridge.reads()
            stop = asyncio.Event()
            capture = asyncio.create_task(bridge.capture("erp").run())
            executor = asyncio.create_task((await bridge.executor("erp")).run(stop))
            here = RunningBridge(bridge, db.execute)
            event = await here.last_event(qty=100)
            callers = [
                asyncio.create_task(ask_on(bridge, work, stop, outcomes, 17 + caller))
                for work in WorkClass
                for caller in range(10)
            ]
            many = [reads.query("erp.stock", {"qty": 100, "id": n}, 5) for n in range(1, 101)]
            assert all(await asyncio.gather(*many))
            get = await asyncio.create_subprocess_exec(
                *(str(PROGRAM), "-c", str(folder / "bridge.yaml")),
                *("get", "erp.stock", "7", "--json"),
                stdout=asyncio.subprocess.PIPE,
            )
            receipt = await here.take(event.version, "under load")
            assert receipt.outcome is Outcome.SUCCEEDED, receipt
            output, _ = await get.communicate()
            assert b'"id"' in output, output
            await until(lambda: sum(outcomes[work.name] for work in WorkClass) > 1000)
            await ended(executor, stop)
            await asyncio.gather(*callers)
            capture.cancel()
            await asyncio.gather(capture, return_exceptions=True)
    assert sessions.most <= CEILING, sessions.parts
    assert sessions.parts["reads"] >= 3
    assert {"source", "side", "commands"} <= sessions.parts.keys()
    starts = sum(outcomes[work.name] for work in WorkClass)
    for work in WorkClass:
        assert outcomes[work.name] >= starts / 25, (work, outcomes)
        assert outcomes[f"{work.name} late"] == 0
        assert outcomes[f"{work.name} heard why"] == outcomes[f"{work.name} refused"]
    assert outcomes["COMMANDS"] > outcomes["REPLAY"]
    assert sum(isinstance(notice, ReadRefused) for notice in notices) == sum(
        outcomes[f"{work.name} refused"] for work in WorkClass
    )


async def test_check_says_what_the_role_may_open(erp: Any) -> None:
    folder, role, db = erp
    [config] = load(folder / "bridge.yaml").systems
    connector = load_connector(config)
    system = build_system("acme", config, connector)

    async def findings() -> list[Any]:
        return [item async for item in bound_findings(config, connector, system)]

    [none] = await findings()
    assert (none.severity, none.fix) == (
        "warning",
        f"ALTER ROLE {role} CONNECTION LIMIT {CEILING};",
    )
    db.execute(f"ALTER ROLE {role} CONNECTION LIMIT {CEILING}")
    [enough] = await findings()
    assert (enough.severity, enough.message) == (
        "ok",
        "the system allows the login 11 connections, and refuses more",
    )
    db.execute(f"ALTER ROLE {role} CONNECTION LIMIT 6")
    [low] = await findings()
    assert low.severity == "warning"
    assert "the bridge may open 11" in low.message
    assert low.location == "systems/erp.yaml:5"
