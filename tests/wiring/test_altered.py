"""ALTER TABLE while everything runs: events, reads and commands follow the table alike.

What is asked of the gateway here holds whatever it is built of.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.capture.checkpoint.store import read_range
from bridge.config.load import load
from bridge.connector import Column, Shape
from bridge.log.port import TopicPartition
from bridge.model.command import Command, seal
from bridge.model.errors import Rejected, RetryLater
from bridge.model.event import Event
from bridge.model.provenance import version
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import EntitySpec
from bridge.model.system_records import target
from bridge.model.types import FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.steps import Wire
from bridge.wiring import Bridge, open_bridge
from bridge.wiring.entity_tables import DESCRIBE_INTERVAL_S, Described, EntityTables
from tests.waiting import ended, until

SYSTEM = """
system: erp
connector: {connector}
url: {url}
entities:
  stock: {{from: stock}}
commands:
  take:
    entity: stock
    run: "update stock set qty = qty - 1 where id = :key"
    tier: outside_the_loop
"""
TABLE = "CREATE TABLE stock (id integer PRIMARY KEY, qty integer, note varchar(40))"

Run = Callable[[str], Any]


class RunningBridge:
    """A bridge whose capture and executor run, and what a program does to its table."""

    def __init__(self, bridge: Bridge, run: Run) -> None:
        self.bridge = bridge
        self.run = run

    async def events(self) -> list[Event]:
        topic = f"{self.bridge.name}.erp.stock"
        events: list[Event] = []
        for number in range((await self.bridge.log.topics())[topic].partitions):
            for record in await read_range(self.bridge.log, TopicPartition(topic, number), 0):
                event = await self.bridge.events.decode(record)
                if event is not None:
                    events.append(event)
        return events

    async def last_event(self, **fields: Any) -> Event:
        """The newest event of row 1, once it has these values."""
        events: list[Event] = []

        async def arrived() -> bool:
            for event in reversed(await self.events()):
                if event.key == {"id": 1}:
                    events[:] = [event]
                    return all(
                        name in event.after
                        and name not in event.unavailable
                        and event.after[name] == value
                        for name, value in fields.items()
                    )
            return False

        await until(arrived)
        return events[0]

    async def get(self, key: int = 1) -> Any:
        reads = await self.bridge.reads()
        [row] = await reads.get_many("erp.stock", [key])
        return row

    async def take(self, expect: str, name: str) -> Receipt:
        """Send a command and wait for its receipt."""
        record = seal(
            Command("erp.take", {"id": 1}, expect=expect),
            {"id": 1},
            agent="tester",
            requested_at=datetime.now(UTC),
            idempotency_key=f"tester/{name}",
        )
        codec = self.bridge.codec
        entry = codec.entry("command", target("erp", "stock", {"id": 1}), record, [])
        await self.bridge.log.append(codec.topic("command"), [entry])
        receipts: list[Receipt] = []

        async def arrived() -> bool:
            topic = codec.topic("receipt")
            for number in range((await self.bridge.log.topics())[topic].partitions):
                for each in await read_range(self.bridge.log, TopicPartition(topic, number), 0):
                    receipt = await codec.decode("receipt", each.value or b"")
                    if isinstance(receipt, Receipt) and receipt.command_id == record.id:
                        receipts[:] = [receipt]
                        return True
            return False

        await until(arrived)
        return receipts[0]


@asynccontextmanager
async def running(folder: Path, run: Run) -> AsyncIterator[RunningBridge]:
    async with open_bridge(load(folder / "bridge.yaml")) as bridge:
        connector, system = bridge.system("erp")
        await connector.setup(system)
        await bridge.create_topics()
        stop = asyncio.Event()
        capture = asyncio.create_task(bridge.capture("erp").run())
        executor = asyncio.create_task((await bridge.executor("erp")).run(stop))
        try:
            yield RunningBridge(bridge, run)
        finally:
            await ended(executor, stop)
            capture.cancel()
            await asyncio.gather(capture, return_exceptions=True)


@pytest.fixture(params=["postgres", "journal"])
def erp(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with a configuration, and a legacy program's own connection."""
    if request.param == "postgres":
        url = request.getfixturevalue("database")
        db: Any = psycopg.connect(url, autocommit=True)
    else:
        url = f"sqlite:///{tmp_path}/erp.db"
        db = sqlite3.connect(tmp_path / "erp.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
    monkeypatch.setenv("ERP_URL", url)
    (tmp_path / "systems").mkdir()
    (tmp_path / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///log.db\nsystems: systems/*.yaml\n"
    )
    (tmp_path / "systems" / "erp.yaml").write_text(
        SYSTEM.format(connector=request.param, url="${env:ERP_URL}")
    )
    db.execute(TABLE)
    db.execute("INSERT INTO stock VALUES (1, 100, 'x'), (2, 5, 'y')")
    with closing(db):
        yield tmp_path, db.execute


async def agree(here: RunningBridge, event: Event) -> None:
    """A row that was read and `after` of the same state are equal, field by field."""
    row = await here.get()
    assert {name: row[name] for name in row.keys()} == dict(event.after)  # noqa: SIM118
    assert version(row) == event.version


async def test_events_reads_and_commands_follow_a_column_that_is_added(erp: Any) -> None:
    folder, run = erp
    async with running(folder, run) as here:
        old = await here.last_event(qty=100)
        for _ in range(8):
            await agree(here, old)
        receipt = await here.take(old.version, "before")
        assert receipt.outcome is Outcome.SUCCEEDED, receipt
        unaltered = await here.last_event(qty=99)
        run("ALTER TABLE stock ADD COLUMN place varchar(9)")
        # Nothing that was read of the row has changed.
        receipt = await here.take(unaltered.version, "an event of before")
        assert receipt.outcome is Outcome.SUCCEEDED, receipt
        await here.bridge.system("erp")[0].setup(here.bridge.system("erp")[1])
        run("UPDATE stock SET place = 'a1' WHERE id = 1")
        event = await here.last_event(qty=98, place="a1")
        for _ in range(8):
            await agree(here, event)
        receipt = await here.take(event.version, "an event of after")
        assert receipt.outcome is Outcome.SUCCEEDED, receipt
        row = await here.get()
        assert receipt.version == version(row)
        receipt = await here.take(version(row), "a read")
        assert receipt.outcome is Outcome.SUCCEEDED, receipt
        receipt = await here.take(old.version, "an event of another state")
        assert receipt.code == "conflict", receipt


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE stock DROP COLUMN note",
        "ALTER TABLE stock RENAME COLUMN note TO remark",
    ],
)
async def test_a_column_that_is_gone_is_a_null_field_for_all_of_them(
    erp: Any, statement: str
) -> None:
    """While it runs, and when it is started again: the topic's schema knows the field still."""
    folder, run = erp
    async with running(folder, run) as here:
        await agree(here, await here.last_event(qty=100))
        connector, system = here.bridge.system("erp")
        if connector.name == "journal":
            # SQLite refuses to alter columns that triggers name, and names new ones in those.
            names = run("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in names:
                run(f'DROP TRIGGER "{name}"')
        run(statement)
        await connector.setup(system)
        run("UPDATE stock SET qty = 50 WHERE id = 1")
        event = await here.last_event(qty=50)
        assert event.after["note"] is None
        if "remark" in statement:
            assert event.after["remark"] == "x"
        await agree(here, event)
        receipt = await here.take(event.version, "while it runs")
        assert receipt.outcome is Outcome.SUCCEEDED, receipt
    async with running(folder, run) as here:
        event = await here.last_event(qty=49)
        await agree(here, event)
        receipt = await here.take(event.version, "started again")
        assert receipt.outcome is Outcome.SUCCEEDED, receipt


async def test_an_entity_that_is_lacking_at_the_start_is_there_once_it_is_fixed() -> None:
    """Nobody has to start the bridge again; however often it is asked for, its table is described
    now and then.
    """
    spec = EntitySpec("erp", "t", "t")
    column = Column("id", "integer", FieldType("integer"), "python", key=True)
    shape = Shape("t", (column,), Wire.PYTHON)
    table = EntityTable(spec, entity_type(spec, shape), shape)
    answers: list[Described | Exception] = [
        RetryLater("away"),
        ({}, {"t": "its key is gone"}),
        ({"t": table}, {}),
    ]
    now = 0.0
    described = 0

    async def describe() -> Described:
        nonlocal described
        described += 1
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    tables = EntityTables(({}, {"t": "there is no table 't'"}), describe, lambda: now)
    reasons = []
    for _ in range(4):
        now += 10 * DESCRIBE_INTERVAL_S
        for _ in range(3):
            try:
                assert tables["t"] is table
            except Rejected as error:
                reasons.append(str(error))
            for _ in range(3):
                await asyncio.sleep(0)
    await tables.close()
    assert described == 3
    assert ["no table" in reason for reason in reasons] == [True] * 4 + [False] * 3
    assert "its key is gone" in reasons[-1]
    assert tables["t"] is table


async def test_whoever_asks_a_lacking_entity_is_described_in_the_bridges_loop() -> None:
    """Agents seal their commands in an event loop of their own: connections, locks and the log of the
    bridge don't work there.
    """
    described: list[asyncio.AbstractEventLoop] = []

    async def describe() -> Described:
        described.append(asyncio.get_running_loop())
        return {}, {}

    now = 0.0
    tables = EntityTables(({}, {"t": "there is no table 't'"}), describe, lambda: now)
    now += 10 * DESCRIBE_INTERVAL_S

    async def read_customer() -> None:
        with pytest.raises(Rejected, match="no table"):
            tables["t"]
        await asyncio.sleep(0.05)

    await asyncio.to_thread(asyncio.run, read_customer())
    await until(lambda: bool(described))
    assert described == [asyncio.get_running_loop()]
    await tables.close()


async def test_a_defect_while_a_lacking_entity_is_described_is_its_reason() -> None:
    """It was a task's error that nobody looked at."""

    async def describe() -> Described:
        raise TypeError("no shape")

    now = 0.0
    tables = EntityTables(({}, {"t": "there is no table 't'"}), describe, lambda: now)
    now += 10 * DESCRIBE_INTERVAL_S

    def reason() -> str:
        with pytest.raises(Rejected) as refused:
            tables["t"]
        return str(refused.value)

    assert "no table" in reason()
    await until(lambda: "a defect of its connector: TypeError: no shape" in reason())
    await tables.close()
