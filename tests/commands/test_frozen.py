"""An executor that is frozen between its decision and the effect, and taken over meanwhile.

What its successor told of a command is the last word: the frozen one must not act when it wakes.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.commands.strategy.ledger_ownership import LedgerOwnership
from bridge.connector import Effect
from bridge.log.port import Entry, TopicPartition, Transaction
from bridge.model.errors import Fenced, Rejected
from bridge.model.receipt import Receipt
from connectors.journal.dialects.sqlite.journal import SqliteJournal
from connectors.postgres.capture_dialect import POSTGRES
from connectors.sql.engine import make_engine
from connectors.sql.write.ledger import create_sql
from connectors.sql.write.writer import SqlWriter
from tests.agent.sqlite_erp import SCHEMA, ErpHarness, open_erp, system_of
from tests.commands.kill_executor import frozen, killed
from tests.commands.sqlite_executor import HEIR, executing, sealed, send, tomorrow
from tests.waiting import until

ROW = "insert into vbak values ('0000000001', '1', 'A', 5, null, null)"
TOTAL = "select netwr from vbak where vbeln = '0000000001'"


class LedgeredErp:
    """The legacy database, SQLite's or PostgreSQL's, with the writer of a bridge to it."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.words = ("--postgres", url) if url else ()
        self.system = replace(system_of(folder), url=url, logins=None) if url else system_of(folder)
        self.dialect = POSTGRES if url else SqliteJournal().sql

    def start(self) -> None:
        """Make its tables where `world` doesn't."""
        if self.words:
            self.act(*SCHEMA.strip().strip(";").split(";"))
            self.act(create_sql(make_engine(self.system).dialect))

    def writer(self) -> SqlWriter:
        return SqlWriter(self.system, self.dialect)

    def act(self, *statements: str) -> list[Any]:
        engine = make_engine(self.system)
        try:
            with engine.begin() as connection:
                answers = [connection.execute(sa.text(statement)) for statement in statements]
                return [answer.scalar() for answer in answers if answer.returns_rows]
        finally:
            engine.dispose()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> LedgeredErp:
    return LedgeredErp(tmp_path)


@pytest.fixture
def on_postgresql(tmp_path: Path, database: str) -> LedgeredErp:
    return LedgeredErp(tmp_path, database)


@pytest.fixture(params=["on_sqlite", "on_postgresql"])
def erp(request: pytest.FixtureRequest) -> LedgeredErp:
    harness = request.getfixturevalue(request.param)
    assert isinstance(harness, LedgeredErp)
    return harness


async def receipt(here: ErpHarness, command_id: str) -> str:
    """What became of a command, once that is known."""
    receipts_so_far: list[str] = []

    async def is_written() -> bool:
        all_ = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
        receipts_so_far[:] = [r.code or r.outcome.value for r in all_ if r.command_id == command_id]
        return bool(receipts_so_far)

    await until(is_written)
    assert len(receipts_so_far) == 1
    return receipts_so_far[0]


@pytest.mark.usefixtures("processes")
async def test_what_a_successor_has_ended_a_frozen_executor_does_not_carry_out(
    erp: LedgeredErp,
) -> None:
    today = datetime.now(UTC) + timedelta(hours=1)
    late = sealed("raise_total", key="late", deadline=today)
    missing = sealed("raise_total", "2", key="missing")
    after = sealed("raise_total", key="after")
    async with open_erp(erp.folder, partitions=1) as here:
        erp.start()
        erp.act(ROW)
        await send(here, late, missing)
        with frozen(erp.folder, "before_legacy", *erp.words) as executor:
            async with executing(here, session=HEIR, writer=erp.writer(), clock=tomorrow):
                assert await receipt(here, late.id) == "deadline"
                assert await receipt(here, missing.id) == "not_found"
            # What was not there is there now.
            erp.act(ROW.replace("0001", "0002"))
            executor.send_signal(signal.SIGCONT)
            # It gets the partition back, and comes past the first two to do this one.
            await send(here, after)
            assert await receipt(here, after.id) == "succeeded"
    assert erp.act(TOTAL, TOTAL.replace("0001", "0002")) == [6, 5]


@pytest.mark.usefixtures("processes")
async def test_what_took_effect_in_front_of_a_crash_is_told_though_its_time_is_over(
    erp: LedgeredErp,
) -> None:
    today = datetime.now(UTC) + timedelta(hours=1)
    command = sealed("raise_total", deadline=today)
    async with open_erp(erp.folder, partitions=1) as here:
        erp.start()
        erp.act(ROW)
        await send(here, command)
    killed(erp.folder, "after_legacy", *erp.words)
    async with (
        open_erp(erp.folder, partitions=1) as here,
        executing(here, session=HEIR, writer=erp.writer(), clock=tomorrow),
    ):
        assert await receipt(here, command.id) == "succeeded"
    assert erp.act(TOTAL) == [6]


def effect(number: int, partition: str) -> Effect:
    statement = "update vbak set netwr = netwr + 1 where vbeln = :key"
    key = {"vbeln": "0000000001"}
    values = {"key": "0000000001"}
    return Effect(f"kit:{number}", "d", statement, values, "vbak", key, partition=partition)


async def test_a_writer_acts_only_for_partitions_that_nobody_took_from_it(erp: LedgeredErp) -> None:
    async with open_erp(erp.folder):
        erp.start()
    erp.act(ROW)
    first, second, other = erp.writer(), erp.writer(), erp.writer()
    try:
        (nobody,) = await first.execute([effect(0, "0")])
        await first.own(["0", "1"])
        await second.own(["0"])
        outcomes = await first.execute([effect(1, "0"), effect(2, "1"), effect(3, "")])
        (mine,) = await second.execute([effect(1, "0")])
        await first.own(["0"])
        (again,) = await first.execute([effect(1, "0")])
        (lost,) = await second.execute([effect(4, "0")])
        (elsewhere,) = await other.execute([effect(5, "1")])
    finally:
        for writer in (first, second, other):
            await writer.close()
    assert [type(outcome) for outcome in (nobody, outcomes[0], lost, elsewhere)] == [Fenced] * 4
    repeated_flags = [
        getattr(outcome, "repeated", None) for outcome in (*outcomes[1:], mine, again)
    ]
    assert repeated_flags == [False, False, False, True]
    assert erp.act(TOTAL) == [8]


async def test_who_lost_a_partition_in_the_log_does_not_count_as_its_owner_in_the_ledger(
    tmp_path: Path,
) -> None:
    partition = TopicPartition("acme.commands", 0)
    here, elsewhere = Lent(), Lent(Fenced("taken"))
    async with open_erp(tmp_path):
        erp = LedgeredErp(tmp_path)
    zombie, successor = erp.writer(), erp.writer()
    owners = LedgerOwnership(successor, "group")
    try:
        assert await owners.take(here, {partition: 7}) == set()
        # It wakes before it was the owner in the ledger, and becomes it.
        assert await LedgerOwnership(zombie, "group").take(elsewhere, {partition: 7}) == {partition}
        (fenced,) = await successor.execute([effect(1, "0")])
        assert isinstance(fenced, Fenced)
        owners.drop(partition)
        assert await owners.take(here, {partition: 7}) == set()
        assert await owners.take(here, {partition: 8}) == set()
        (now,) = await successor.execute([effect(1, "0")])
        assert code_of(now) == "not_found"
    finally:
        await zombie.close()
        await successor.close()
    assert here.committed == [{partition: 7}, {partition: 7}]


def code_of(outcome: object) -> str:
    assert isinstance(outcome, Rejected), outcome
    return outcome.code


class Lent:
    """Owned partitions whose transactions succeed, or end as told."""

    def __init__(self, end: Exception | None = None) -> None:
        self._end = end
        self.committed: list[Mapping[TopicPartition, int]] = []

    @asynccontextmanager
    async def transaction(self, _partition: TopicPartition, /) -> AsyncIterator[Transaction]:
        yield self
        if self._end is not None:
            raise self._end

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        raise AssertionError("only offsets are written")

    async def ready(self, entries: Mapping[str, Sequence[Entry]]) -> None:
        raise AssertionError("only offsets are written")

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        assert group == "group"
        self.committed.append(offsets)
