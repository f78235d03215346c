"""The connection that streams: when it is ended, given up, or not read for long."""

from __future__ import annotations

import asyncio
import gc

import pytest

from bridge.model.errors import RetryLater
from connectors.postgres.transport.copy_connection import CopyConnection
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    collect,
    open_source,
    read_on,
)


async def test_an_ended_walsender_is_retry_later_and_closing_then_never_raises(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        with pytest.raises(RetryLater, match="stream"):
            await read_on(source, 5.0)


async def test_closing_in_mid_read_ends_the_walsender(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        reading = asyncio.create_task(source.read(10, 60.0))
        await asyncio.sleep(0.05)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    async with open_source(erp.system("t")) as (source, _):
        assert not (await source.read(10, 0.0)).changes


async def test_a_source_that_is_not_read_for_long_is_not_ended_by_the_server(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, note text)")
    erp.publish("t")
    impatient = f"{erp.url}?options=-c%20wal_sender_timeout%3D3s"
    async with open_source(erp.system("t", url=impatient)) as (source, _):
        # More than the socket holds, so that the server waits for us in the middle of it.
        erp.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i")
        await collect(source, 10)
        await asyncio.sleep(7)
        assert len(await collect(source, 29_990)) == 29_990


async def test_a_connection_that_is_given_up_while_it_is_made_is_closed(
    erp: PostgresErp,
) -> None:
    """At whatever moment; else the server keeps it until somebody collects it."""
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    system = erp.system("t")
    for number in range(40):
        opening = asyncio.create_task(CopyConnection.open(system, "given up"))
        for _ in range(number):
            await asyncio.sleep(0)
        await asyncio.wait([opening], timeout=number / 1000)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        if not opening.cancelled() and opening.exception() is None:
            await opening.result().close()
    gc.collect()
