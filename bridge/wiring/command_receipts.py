"""Waits for the receipt of a command that was sent, and reports its state while it has none."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from bridge.commands.history import CommandHistory, command_histories
from bridge.commands.manual.send import may_be_repeated
from bridge.commands.receipts.awaited import answers_command, ends_wait
from bridge.log.follow_topics import follow_topics, partitions_of
from bridge.log.start_offsets import BEGINNING, LogStart, resolve_offsets
from bridge.model.command import CommandRecord
from bridge.model.errors import RetryLater
from bridge.model.names import AUDIT
from bridge.model.receipt import Receipt
from bridge.wiring.bridge import Bridge
from bridge.wiring.decoding import system_topic_history

CLOCK_MARGIN_MS: Final = 60_000
"""How far the clocks of who sends and of the log may differ."""


async def wait_for_receipt(bridge: Bridge, record: CommandRecord) -> Receipt:
    """The receipt with which there is nothing to wait for any more; however long that takes.

    Raises RetryLater if the log stops answering.
    """
    topic = bridge.codec.topic("receipt")
    await bridge.log.create_topics([bridge.codec.spec("receipt")])
    partitions = await partitions_of(bridge.log, [topic])
    start = BEGINNING if may_be_repeated(record) else _start_of(record)
    offsets = await resolve_offsets(bridge.log, partitions, start)
    async with aclosing(follow_topics(bridge.log, offsets)) as batches:
        async for batch in batches:
            for item in batch:
                if item.value is None or not answers_command(item, record):
                    continue
                receipt = await bridge.codec.decode("receipt", item.value)
                if isinstance(receipt, Receipt) and ends_wait(receipt, item.timestamp, record):
                    return receipt
    raise RetryLater(f"{bridge.log.name} stopped answering")


async def read_steps(bridge: Bridge, record: CommandRecord) -> CommandHistory:
    """The command with the steps that it has taken so far; receipts are not read."""
    async with aclosing(system_topic_history(bridge, [AUDIT], _start_of(record))) as items:
        steps = [item.fixed async for item in items if item.fixed is not None]
    return command_histories([record, *steps])[record.id]


def _start_of(record: CommandRecord) -> LogStart:
    return LogStart("time", int(record.requested_at.timestamp() * 1000) - CLOCK_MARGIN_MS)
