"""A set-up that waits for somebody's transaction says whose, and leaves nothing half done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg
import pytest

from bridge.model.errors import RetryLater
from connectors.postgres import connector
from tests.connectors.postgres.postgres_erp import PostgresErp
from tests.waiting import WAIT_TIMEOUT_S


def blocked_by_a_writer(other: psycopg.Connection) -> None:
    other.execute("INSERT INTO t VALUES (1)")


def blocked_by_a_lock(other: psycopg.Connection) -> None:
    other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")


@pytest.mark.parametrize("block", [blocked_by_a_writer, blocked_by_a_lock])
async def test_whose_transaction_is_waited_for_is_said(
    erp: PostgresErp,
    caplog: pytest.LogCaptureFixture,
    block: Callable[[psycopg.Connection], None],
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    system = erp.system("t", commands=True, answer_timeout=1.5)
    with psycopg.connect(erp.url, application_name="month end") as other:
        block(other)
        pid = other.info.backend_pid
        with caplog.at_level(logging.WARNING), pytest.raises(RetryLater) as refusal:
            await connector.setup(system)
    message = str(refusal.value)
    assert f"waits for session {pid} (user " in message
    assert "application 'month end'" in message
    assert f"pg_terminate_backend({pid})" in message
    (line,) = caplog.messages
    assert "waits for session" in line
    slots = erp.rows(
        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    )
    assert slots == []
    await connector.setup(system)
    assert await connector.setup(system) == []


async def test_a_prepared_transaction_is_named(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.run("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'payroll 7'")
    try:
        with pytest.raises(
            RetryLater, match=r"prepared transaction .'payroll 7'.: end it with COMMIT"
        ):
            await connector.setup(erp.system("t", answer_timeout=1.5))
    finally:
        erp.run("ROLLBACK PREPARED 'payroll 7'")


async def test_a_wait_that_ends_is_no_failure(
    erp: PostgresErp, caplog: pytest.LogCaptureFixture
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    with psycopg.connect(erp.url) as other, caplog.at_level(logging.WARNING):
        blocked_by_a_writer(other)
        setting_up = asyncio.ensure_future(
            connector.setup(erp.system("t", answer_timeout=WAIT_TIMEOUT_S))
        )
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while not caplog.messages:
                await asyncio.sleep(0.01)
        other.commit()
        assert len(await setting_up) == 2
