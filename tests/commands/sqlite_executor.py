"""An executor of the test's ERP, and commands sent to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.commands import CommandExecutor
from bridge.commands.contract import CrashPointHook, Epochs, no_crash_points
from bridge.connector import Writer
from bridge.model.command import Command, CommandRecord, seal
from bridge.model.headers import REPLAY
from bridge.model.receipt import Receipt
from bridge.model.system_records import target
from bridge.observe import Observer, ignore
from connectors.journal import connector
from tests.agent.sqlite_erp import SPEC, ErpHarness
from tests.waiting import WAIT_TIMEOUT_S, ended

SESSION = 60.0
"""Seconds: none of these dies, and a slow machine must not make one look dead, or late."""
HEIR = 10.0
"""The same of one that takes over from a dead one: it notices that within a third of these."""


def sealed(name: str, order: str = "1", *, key: str | None = None, **more: Any) -> CommandRecord:
    command = Command(f"erp.{name}", {"order_no": order}, **more)
    return seal(
        command,
        command.key,
        agent="tester",
        requested_at=datetime.now(UTC),
        idempotency_key=key or f"tester/{name}/{order}",
    )


async def send(here: ErpHarness, *records: CommandRecord, replayed: bool = False) -> None:
    more = [(REPLAY, b"1")] if replayed else []
    await here.log.append(
        here.codec.topic("command"),
        [
            here.codec.entry(
                "command", target("erp", "sales_order", json.loads(record.key)), record, more
            )
            for record in records
        ],
    )


@asynccontextmanager
async def executing(
    here: ErpHarness,
    *,
    writer: Writer | None = None,
    ledger: bool = True,
    steps: CrashPointHook = no_crash_points,
    observer: Observer = ignore,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    epochs: Epochs | None = None,
    session: float = SESSION,
    **more: Any,
) -> AsyncIterator[asyncio.Task[None]]:
    used_writer = writer or await connector.writer(here.system)
    executor = CommandExecutor(
        SPEC,
        bridge=here.bridge,
        log=here.log,
        codec=here.codec,
        writer=used_writer,
        ledger=ledger,
        tables=here.tables,
        crash_point=steps,
        observer=observer,
        sleep=sleep,
        clock=clock,
        epochs=epochs,
        session_timeout=session,
        **more,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(executor.run(stop))
    try:
        yield task
    finally:
        await ended(task, stop)
        await used_writer.close()


def tomorrow() -> datetime:
    """The clock of an executor that comes a day later."""
    return datetime.now(UTC) + timedelta(days=1)


async def receipts(here: ErpHarness, count: int) -> dict[str, Receipt]:
    """The receipts by command id, once there are `count`; each command has one."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while len(records := await here.records("receipt")) < count:
            await asyncio.sleep(0.02)
    assert len(records) == count
    return {r.command_id: r for r in records if isinstance(r, Receipt)}


def orders(here: ErpHarness) -> dict[str, tuple[Any, ...]]:
    with here.erp() as erp:
        return {
            row[0].lstrip("0"): row[1:]
            for row in erp.execute("select vbeln, netwr, lifsk, ztext from vbak")
        }


REASON = {"reason": "late"}
