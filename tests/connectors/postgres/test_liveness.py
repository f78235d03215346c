"""A server that hangs, or a network that swallows everything: noticed in time, and told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from bridge.connector import System
from bridge.model.errors import RetryLater
from connectors.postgres.capture.liveness import ServerLiveness
from connectors.postgres.transport.copy_connection import CopyConnection, conninfo
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    collect,
    open_source,
    read_on,
    read_to,
    row,
)
from tests.services.errors import ServerUnavailable
from tests.tcp_proxy import TcpProxy

PATIENCE = 4.0
"""Seconds that the server waits. Longer than a busy machine keeps any process from running."""
OWED = 3.0
"""Seconds that an answer of the server is waited for, where it is meant not to come."""
SOON = 15.0
"""Seconds that count as at once: far below what is waited for by default."""


@pytest.fixture
def hasty(erp: PostgresErp) -> PostgresErp:
    """With one table, and a server that waits for nobody for long."""
    name = make_url(erp.url).database
    erp.run(
        f"ALTER DATABASE \"{name}\" SET wal_sender_timeout = '{PATIENCE:g}s'",
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
    )
    erp.publish("t")
    return erp


@asynccontextmanager
async def proxied(erp: PostgresErp, **options: Any) -> AsyncIterator[tuple[TcpProxy, System]]:
    url = make_url(erp.url)
    async with TcpProxy(str(url.host), int(url.port or 5432)).serving() as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port)
        yield proxy, erp.system("t", url=through.render_as_string(False), **options)


@contextmanager
def stopped(erp: PostgresErp, role: str) -> Iterator[None]:
    """The server process of one of the bridge's connections, stopped by SIGSTOP."""
    if erp.server.pid is None:
        raise ServerUnavailable(
            "this test stops a server process, so the server must be a local program"
        )
    [[pid]] = erp.rows(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s",
        f"legacy-bridge acme erp {role}",
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_answer_is_owed_from_the_first_question_on_until_something_comes() -> None:
    silence = ServerLiveness()
    assert silence.silent_for(100.0) == 0.0
    silence.note_request(100.0)
    silence.note_request(110.0)
    assert silence.silent_for(115.0) == 15.0
    silence.note_arrival()
    assert silence.silent_for(120.0) == 0.0


def test_the_url_may_set_its_own_time_outs_of_tcp(erp: PostgresErp) -> None:
    usual = conninfo_to_dict(conninfo(erp.system(), "source"))
    assert usual["keepalives_idle"] == "30"
    assert usual["tcp_user_timeout"] == "60000"
    url = f"{erp.url}?keepalives_idle=7&tcp_user_timeout=0&connect_timeout=3"
    own = conninfo_to_dict(conninfo(erp.system(url=url), "source"))
    assert own["keepalives_idle"] == "7"
    assert own["tcp_user_timeout"] == "0"
    assert own["connect_timeout"] == "3"
    assert own["keepalives_count"] == "3"


async def test_a_network_that_swallows_everything_ends_the_stream_and_nothing_is_lost(
    hasty: PostgresErp,
) -> None:
    async with proxied(hasty) as (proxy, system):
        async with open_source(system) as (source, _):
            hasty.run("INSERT INTO t VALUES (1, 1)")
            [batch, *_] = await read_to(source, "one")
            proxy.hold()
            hasty.run("INSERT INTO t VALUES (2, 2)")
            with pytest.raises(RetryLater, match=r"sent nothing for \d+ s"):
                await asyncio.wait_for(read_on(source, 60.0), 60)
        proxy.release()
        await hasty.idle()
        async with open_source(system, batch.checkpoint) as (source, _):
            [change] = await collect(source, 1)
        assert row(change.shape, change.new) == {"id": 2, "n": 2}


async def test_a_server_process_that_hangs_ends_the_stream_and_nothing_is_lost(
    hasty: PostgresErp,
) -> None:
    async with open_source(hasty.system("t")) as (source, begin):
        with stopped(hasty, "source"):
            hasty.run("INSERT INTO t VALUES (1, 1)")
            silent: list[float] = []

            async def listen() -> None:
                while True:
                    silent.append((await source.read(10, 0.2)).silent)

            with pytest.raises(RetryLater, match=r"sent nothing for \d+ s"):
                await asyncio.wait_for(listen(), 60)
            assert silent[0] < silent[-1]
            assert silent[-1] > 1
            began = time.monotonic()
            await source.close()
            assert time.monotonic() - began < SOON
    await hasty.idle()
    async with open_source(hasty.system("t"), begin) as (source, _):
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 1, "n": 1}


async def test_a_server_that_has_nothing_to_tell_is_not_silent(hasty: PostgresErp) -> None:
    async with open_source(hasty.system("t", heartbeat=3600)) as (source, _):
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            batch = await source.read(10, 0.3)
            assert batch.silent < PATIENCE


async def test_what_nobody_read_is_no_silence(hasty: PostgresErp) -> None:
    """The log may be away for longer than the server's patience."""
    async with open_source(hasty.system("t", heartbeat=3600)) as (source, _):
        hasty.run("INSERT INTO t VALUES (1, 1)")
        await asyncio.sleep(1.5 * PATIENCE)
        assert len(await collect(source, 1)) == 1


async def test_a_side_connection_that_hangs_ends_the_source_in_time(hasty: PostgresErp) -> None:
    system = hasty.system("t", answer_timeout=OWED, heartbeat=0.2)
    async with open_source(system) as (source, _):
        with stopped(hasty, "side"):
            with pytest.raises(
                RetryLater, match=r"cannot write a heartbeat: .* no answer within 3 s"
            ):
                await asyncio.wait_for(read_on(source, 60.0), 60)
            began = time.monotonic()
            await source.close()
            assert time.monotonic() - began < SOON


async def test_a_watermark_is_not_waited_for_for_ever(hasty: PostgresErp) -> None:
    proxying = proxied(hasty, answer_timeout=OWED)
    says = r"cannot write a watermark: .* no answer within 3 s"
    async with proxying as (proxy, system), open_source(system) as (source, _):
        proxy.hold()
        with pytest.raises(RetryLater, match=says):
            await asyncio.wait_for(source.write_watermark("one"), 60)


async def test_a_source_that_is_closed_while_its_server_hangs_waits_for_nobody(
    hasty: PostgresErp,
) -> None:
    async with open_source(hasty.system("t", heartbeat=0.2)) as (source, _):
        with stopped(hasty, "side"):
            marking = asyncio.create_task(source.write_watermark("one"))
            await asyncio.sleep(0.5)
            began = time.monotonic()
            await source.close()
            assert time.monotonic() - began < SOON
            with pytest.raises(RetryLater):
                await marking


async def test_a_server_that_hangs_while_replication_begins_is_retried(hasty: PostgresErp) -> None:
    async with proxied(hasty, answer_timeout=OWED) as (proxy, system):
        link = await CopyConnection.open(system, "source", replication=True)
        proxy.hold()
        with pytest.raises(psycopg.OperationalError, match="no answer within 3 s"):
            await asyncio.wait_for(link.start_copy("IDENTIFY_SYSTEM"), 60)
        await link.close()
