"""Commands handed to an executor of a real system, and the receipts that come out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bridge.commands import CommandExecutor
from bridge.connector import Writer
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import TopicPartition, TopicSpec
from bridge.log.read_to_end import read_to_end
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.command import Command, CommandRecord, seal
from bridge.model.receipt import Receipt
from bridge.model.specs import SystemSpec
from bridge.model.system_records import TOPIC_KINDS, Target, target
from bridge.plan.entity_table import EntityTable
from tests.agent.sqlite_erp import MemoryRegistry
from tests.waiting import ended, until

IN_DOUBT_TIMEOUT_S = 0.2
"""Seconds after which a system is told to be done with what it was sent, where a test asks it."""


@dataclass
class CommandHarness:
    """Where commands are handed in, and receipts come out."""

    log: EmbeddedLog
    codec: SystemTopicCodec
    spec: SystemSpec

    async def send(self, *records: CommandRecord) -> None:
        await self.log.append(
            self.codec.topic("command"),
            [self.codec.entry("command", self._target(record), record) for record in records],
        )

    def _target(self, record: CommandRecord) -> Target:
        about = {command.qualified: command.entity for command in self.spec.commands}[record.name]
        return target(self.spec.name, about, json.loads(record.key))

    async def receipt(self, record: CommandRecord) -> Receipt:
        """The last word on a command, once it is one."""
        async with asyncio.timeout(60):
            while True:
                receipts = [
                    receipt for receipt in await self._all() if receipt.command_id == record.id
                ]
                if receipts and (receipts[-1].code or "") not in {"in_progress", "not_started"}:
                    return receipts[-1]
                await asyncio.sleep(0.05)

    async def _all(self) -> list[Receipt]:
        partition = TopicPartition(self.codec.topic("receipt"), 0)
        receipts: list[Any] = []
        async for records in read_to_end(self.log, await self.log.beginning_offsets([partition])):
            receipts += [await self.codec.decode("receipt", each.value or b"") for each in records]
        return receipts


def sleep_until_settled(settled: Callable[[], bool]) -> Callable[[float], Awaitable[None]]:
    """A `sleep` that waits for SETTLE by what it means, however slow the machine is."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        if seconds == IN_DOUBT_TIMEOUT_S:
            await until(settled, seconds=60)

    return sleep


@asynccontextmanager
async def open_command_harness(
    folder: Path,
    spec: SystemSpec,
    writer: Writer,
    tables: Mapping[str, EntityTable],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[CommandHarness]:
    """An executor without a ledger, on an embedded log. The writer is closed with it."""
    log = EmbeddedLog(folder / "log.db", partitions=1)
    await log.open()
    codec = SystemTopicCodec(MemoryRegistry(), "acme")
    await codec.open()
    await log.create_topics([TopicSpec(codec.topic(kind)) for kind in TOPIC_KINDS])
    executor = CommandExecutor(
        spec,
        bridge="acme",
        log=log,
        codec=codec,
        writer=writer,
        ledger=False,
        tables=tables,
        sleep=sleep,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(executor.run(stop))
    try:
        yield CommandHarness(log, codec, spec)
    finally:
        await ended(task, stop)
        await writer.close()
        await log.close()


def command(name: str, key: Any, *, expect: str | None = None, **args: Any) -> CommandRecord:
    """A new command of a tester's, about the row with this id; no other has its key."""
    request = Command(f"erp.{name}", {"id": key}, args, expect=expect)
    return seal(
        request,
        request.key,
        agent="tester",
        requested_at=datetime.now(UTC),
        idempotency_key=f"tester/{uuid4()}",
    )
