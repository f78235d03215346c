from __future__ import annotations

import asyncio

from connectors.postgres.capture.feedback import StandbyFeedback
from connectors.postgres.capture.slot import confirmed_lsn, load
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    collect,
    open_source,
    read_to,
    row,
)


def test_what_is_durable_is_news_only_when_it_is_further() -> None:
    durable = StandbyFeedback(lambda: 0.0)
    assert durable.reach(0x100, received=0x200)
    assert not durable.reach(0x100, received=0x200)
    assert not durable.reach(0x80, received=0x200)
    assert durable.reach(0x108, received=0x200)


def test_what_was_not_received_is_never_confirmed() -> None:
    durable = StandbyFeedback(lambda: 0.0)
    assert durable.reach(0x1000, received=0x200)
    assert not durable.reach(0x200, received=0x200)
    assert durable.reach(0x208, received=0x208)


def test_what_the_server_knows_is_no_news() -> None:
    durable = StandbyFeedback(lambda: 0.0)
    durable.already_confirmed(confirmed_lsn(0x100))
    assert not durable.reach(0x100, received=0x100)


async def test_an_idle_publication_moves_its_slot_on(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE busy (id int)")
    erp.publish("t")
    async with open_source(erp.system("t", heartbeat=0.1)) as (source, begin):
        start = erp.confirmed()
        erp.run("INSERT INTO busy SELECT generate_series(1, 1000)")
        [[end]] = erp.rows("SELECT pg_current_wal_insert_lsn()::text")
        async with asyncio.timeout(60):
            while True:
                batch = await source.read(10, 0.2)
                assert not batch.changes
                if erp.rows("SELECT %s::pg_lsn < %s::pg_lsn", end, _text(batch.checkpoint))[0][0]:
                    break
        await source.ack(batch.checkpoint)
        async with asyncio.timeout(60):
            while erp.confirmed() == start:
                await source.read(10, 0.1)
    assert batch.commit >= load(begin).lsn


def _text(checkpoint: bytes) -> str:
    lsn = load(checkpoint).lsn
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


async def test_only_what_was_acknowledged_is_confirmed(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1)")
        first = await read_to(source, "one")
        erp.run("INSERT INTO t VALUES (2)")
        await read_to(source, "two")
        await source.ack(first[-1].checkpoint)
        end = _text(first[-1].checkpoint)
    await erp.idle()
    assert erp.rows("SELECT %s::pg_lsn < %s::pg_lsn", erp.confirmed(), end) == [(True,)]
    async with open_source(erp.system("t"), first[-1].checkpoint) as (source, _):
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 2}


async def test_a_position_beyond_what_was_received_is_never_confirmed(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, begin):
        erp.run("INSERT INTO t VALUES (1)")
        batch = (await read_to(source, "one"))[-1]
        far = load(begin)
        await source.ack(type(far)(far.lsn + (1 << 40), 0, far.system).dump())
    assert erp.rows("SELECT %s::pg_lsn <= pg_current_wal_lsn()", erp.confirmed()) == [(True,)]
    async with open_source(erp.system("t"), batch.checkpoint) as (source, _):
        erp.run("INSERT INTO t VALUES (2)")
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 2}
