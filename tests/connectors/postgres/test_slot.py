"""Slots that are missing, lost, ahead, in use or somebody else's: an alarm, never a silent restart."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.model.errors import ConfigurationError, HistoryLost, RetryLater
from connectors.postgres.capture.slot import (
    ReplicationSlot,
    ServerIdentity,
    SlotCheckpoint,
    confirmed_lsn,
    decide,
    load,
    lsn_number,
    lsn_text,
)
from connectors.postgres.capture.source import PostgresSource
from connectors.postgres.connector import connector
from tests.connectors.checkpoints import fixed_checkpoint
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    changes_of,
    collect,
    open_source,
    read_to,
    row,
)

SERVER = ServerIdentity("77", 0x5000, "erp")


def slot(**changes: object) -> ReplicationSlot:
    values: dict[str, object] = {
        "name": "s", "plugin": "pgoutput", "kind": "logical", "database": "erp",
        "active_pid": None, "confirmed": 0x1000, "restart": 0x800, "wal_status": "reserved",
    } | changes  # fmt: skip
    return ReplicationSlot(**values)  # type: ignore[arg-type]


def begin(slot: ReplicationSlot | None, resume: SlotCheckpoint | None) -> str:
    return decide(slot, resume, SERVER, "s", "erp")


def test_a_fresh_slot_starts_and_a_missing_one_is_made_when_the_log_has_nothing() -> None:
    assert begin(None, None) == "create"
    assert begin(slot(), None) == "start"
    assert begin(slot(active_pid=7), None) == "wait"
    assert begin(slot(), SlotCheckpoint(0x1000, 3, "77")) == "start"


def test_what_a_bridge_confirms_is_told_from_a_fresh_slot_and_skips_the_same() -> None:
    for end in (0x1000, 0x1008, 0x10F8):
        assert confirmed_lsn(end) == end - 1
        assert confirmed_lsn(confirmed_lsn(end)) == end - 1


@pytest.mark.parametrize(
    ("slot", "resume", "words"),
    [
        (None, SlotCheckpoint(0x1000, 0, "77"), ["does not exist", "0/1000"]),
        (slot(confirmed=0x2000), SlotCheckpoint(0x1000, 0, "77"), ["0/2000", "0/1000"]),
        (slot(confirmed=0x1FFF), None, ["0/1FFF", "no checkpoint"]),
        (slot(wal_status="lost"), SlotCheckpoint(0x1000, 0, "77"), ["lost its WAL", "0/1000"]),
        (slot(wal_status="lost", confirmed=None), None, ["lost its WAL"]),
        (slot(), SlotCheckpoint(0x1000, 0, "78"), ["cluster 78", "cluster 77"]),
        (slot(), SlotCheckpoint(0x6000, 0, "77"), ["0/6000", "0/5000", "older state"]),
    ],
)
def test_lost_history_gives_both_positions_and_the_ways_out(
    slot: ReplicationSlot | None, resume: SlotCheckpoint | None, words: list[str]
) -> None:
    with pytest.raises(HistoryLost) as caught:
        begin(slot, resume)
    for word in (*words, "bridgectl log copy", "bridgectl snapshot --reconcile"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "other",
    [
        slot(plugin="test_decoding"),
        slot(kind="physical", plugin=None),
        slot(database="crm"),
        slot(two_phase=True),
    ],
)
def test_a_slot_of_something_else_is_a_configuration_error(other: ReplicationSlot) -> None:
    with pytest.raises(ConfigurationError, match="slot"):
        begin(other, None)


def test_positions_read_and_write_as_postgresql_does() -> None:
    assert lsn_text(0x16_B374D848) == "16/B374D848"
    assert lsn_number("16/B374D848") == 0x16_B374D848
    with pytest.raises(ValueError, match="nonsense"):
        lsn_number("nonsense")


def test_another_connectors_checkpoint_is_a_configuration_error() -> None:
    for foreign in (b"[1]", b"\xff", b'{"lsn": 5}', b'{"sequence": 9}'):
        with pytest.raises(ConfigurationError, match="checkpoint"):
            load(foreign)


@pytest.fixture
def table(erp: PostgresErp) -> PostgresErp:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    return erp


async def test_a_slot_made_and_never_confirmed_begins_again_where_it_was_made(
    table: PostgresErp,
) -> None:
    async with open_source(table.system("t")) as (_, begin):
        pass
    table.run("INSERT INTO t VALUES (1)")
    async with open_source(table.system("t")) as (source, again):
        assert again == begin
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 1}


async def test_a_consumed_slot_without_a_checkpoint_stops(table: PostgresErp) -> None:
    async with open_source(table.system("t")) as (source, _):
        table.run("INSERT INTO t VALUES (1)")
        await source.ack((await read_to(source, "end"))[-1].checkpoint)
    with pytest.raises(HistoryLost, match="already been consumed"):
        async with open_source(table.system("t")):
            pass


async def test_a_dropped_slot_stops(table: PostgresErp) -> None:
    async with open_source(table.system("t")) as (_, begin):
        pass
    await table.idle()
    table.run(f"SELECT pg_drop_replication_slot('{table.slot}')")
    with pytest.raises(HistoryLost, match="does not exist"):
        async with open_source(table.system("t"), begin):
            pass
    assert table.rows(
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", table.slot
    ) == [(0,)]


async def test_a_slot_ahead_of_the_checkpoint_stops(table: PostgresErp) -> None:
    async with open_source(table.system("t")) as (_, begin):
        pass
    await table.idle()
    table.run("INSERT INTO t VALUES (1)")
    table.run(f"SELECT pg_replication_slot_advance('{table.slot}', pg_current_wal_lsn())")
    with pytest.raises(HistoryLost, match="past the log's checkpoint"):
        async with open_source(table.system("t"), begin):
            pass


async def test_a_slot_made_anew_after_it_was_dropped_stops(table: PostgresErp) -> None:
    async with open_source(table.system("t")) as (_, begin):
        pass
    await table.idle()
    table.run(f"SELECT pg_drop_replication_slot('{table.slot}')", "INSERT INTO t VALUES (1)")
    table.run(f"SELECT pg_create_logical_replication_slot('{table.slot}', 'pgoutput')")
    with pytest.raises(HistoryLost, match="past the log's checkpoint"):
        async with open_source(table.system("t"), begin):
            pass


async def test_a_slot_from_before_its_publication_was_made_again_stops(table: PostgresErp) -> None:
    """The server would refuse it for ever, as of a publication that isn't there."""
    async with open_source(table.system("t")) as (_, begin):
        pass
    await table.idle()
    [(publication,)] = table.rows("SELECT pubname FROM pg_publication")
    table.run(f'DROP PUBLICATION "{publication}"', "INSERT INTO t VALUES (1)")
    table.publish("t")
    with pytest.raises(HistoryLost, match=r"stands where publication .*pg_drop_replication_slot"):
        async with open_source(table.system("t"), begin) as (source, _):
            await collect(source, 1)


async def test_a_slot_whose_wal_was_removed_stops(private_postgres: object) -> None:
    server = private_postgres(  # type: ignore[operator]
        {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    )
    erp = PostgresErp(server, server.url)
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE filler (x text)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (_, begin):
        pass
    for _ in range(6):
        erp.run("INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 60000)")
        erp.run("SELECT pg_switch_wal()", "CHECKPOINT")
    [[status]] = erp.rows("SELECT wal_status FROM pg_replication_slots")
    erp.run("INSERT INTO t VALUES (1)")
    assert status == "lost"
    with pytest.raises(HistoryLost, match="lost its WAL"):
        async with open_source(erp.system("t"), begin):
            pass
    erp.db.close()


async def test_a_slot_in_use_is_waited_for_and_then_named(table: PostgresErp) -> None:
    async with open_source(table.system("t")):
        before = time.monotonic()
        with pytest.raises(RetryLater, match=r"still in use by server process \d+ after 0.5 s"):
            async with open_source(table.system("t", slot_wait=0.5)):
                pass
        assert time.monotonic() - before < 20, "by default it is 30 s"


async def test_a_second_instance_takes_over_when_the_first_lets_go(table: PostgresErp) -> None:
    async with open_source(table.system("t")) as (first, begin):
        table.run("INSERT INTO t VALUES (1)")

        async def second() -> list[int]:
            async with open_source(table.system("t"), begin) as (source, _):
                return [change.op for change in changes_of(await read_to(source, "taken"))]

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await first.close()
        assert await asyncio.wait_for(waiting, 60) == [1]


async def test_a_check_beside_a_running_capture_finds_nothing(erp: PostgresErp) -> None:
    """The slot moves on while the check reads, from before the log's checkpoint to after it."""
    erp.run("CREATE TABLE t (id serial PRIMARY KEY)")
    erp.publish("t")
    system = erp.system("t")
    async with open_source(system) as (source, _):

        async def capture() -> bytes:
            erp.run("INSERT INTO t DEFAULT VALUES")
            [*_, batch] = await read_to(source, "here")
            await source.ack(batch.checkpoint)
            return batch.checkpoint

        async def move() -> bytes:
            checkpoint = await capture()
            await capture()
            return checkpoint

        assert await connector.check_resuming(system, move) == []


async def test_a_check_while_capture_begins_finds_nothing(erp: PostgresErp) -> None:
    """The slot that wasn't there yet when it was looked for, is by the time the log says so."""
    erp.run("CREATE TABLE t (id serial PRIMARY KEY)")
    erp.publish("t")
    system, source = erp.system("t"), PostgresSource(erp.system("t"), time.time)
    begun: list[bytes] = []

    async def begin() -> bytes:
        if not begun:
            begun.append(await source.open(None))
        return begun[0]

    try:
        assert await connector.check_resuming(system, begin) == []
    finally:
        await source.close()


async def test_check_tells_what_would_stop_a_source_behind_the_log(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    system = erp.system("t")
    async with open_source(system) as (source, begin):
        assert await connector.check_resuming(system, fixed_checkpoint(begin)) == []
        erp.run("INSERT INTO t VALUES (1)")
        [batch, *_] = await read_to(source, "one")
        await source.ack(batch.checkpoint)
    await erp.idle()
    assert await connector.check_resuming(system, fixed_checkpoint(batch.checkpoint)) == []
    [past] = await connector.check_resuming(system, fixed_checkpoint(begin))
    assert "past the log's checkpoint" in past.what
    assert past.fatal
    [unknown] = await connector.check_resuming(system, fixed_checkpoint(None))
    assert "this log has no checkpoint" in unknown.what
    erp.run(f"SELECT pg_drop_replication_slot('{erp.slot}')")
    [gone] = await connector.check_resuming(system, fixed_checkpoint(batch.checkpoint))
    assert "does not exist, but the log has a checkpoint" in gone.what
    assert "--accept-loss" in gone.what
