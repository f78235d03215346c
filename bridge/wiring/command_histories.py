"""Reads what became of commands out of the log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from bridge.commands.history import CommandHistory, command_histories
from bridge.commands.manual.conclude import target_of
from bridge.log.port import Record
from bridge.log.start_offsets import BEGINNING, LogStart
from bridge.model.command import CommandRecord
from bridge.model.names import AUDIT, COMMANDS, RECEIPTS
from bridge.model.system_records import Target
from bridge.wiring.bridge import Bridge
from bridge.wiring.decoding import system_topic_history


async def read_histories(
    bridge: Bridge, since: int | None, skipped: Callable[[Record, str], Any]
) -> dict[str, CommandHistory]:
    """Commands by id, in order of their requests.

    since: those that were requested at this time or later, in milliseconds since 1970; None: all
    skipped: called with each record that can't be read, and why
    """
    start = BEGINNING if since is None else LogStart("time", since)
    names = [COMMANDS, AUDIT, RECEIPTS]
    records = []
    async with aclosing(system_topic_history(bridge, names, start)) as decoded_records:
        async for item in decoded_records:
            if item.fixed is not None:
                records.append(item.fixed)
            else:
                skipped(item.record, item.unreadable)
    histories = command_histories(records)
    # Steps and receipts of older commands came along: those aren't "since".
    return {
        id_: history
        for id_, history in histories.items()
        if since is None or history.request is not None
    }


async def find_command(
    bridge: Bridge, command_id: str
) -> tuple[CommandHistory | None, Target | None]:
    """What became of one command, and the row that it is about as its own record says; None where
    there is no such command, or no such record.
    """
    target, records = None, []
    names = [COMMANDS, AUDIT, RECEIPTS]
    async with aclosing(system_topic_history(bridge, names, BEGINNING)) as decoded_records:
        async for item in decoded_records:
            if item.fixed is None:
                continue
            records.append(item.fixed)
            if isinstance(item.fixed, CommandRecord) and item.fixed.id == command_id:
                target = target or target_of(item.key, item.fixed)
    return command_histories(records).get(command_id), target
