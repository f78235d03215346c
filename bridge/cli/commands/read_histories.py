"""Reads what became of commands out of the log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bridge.cli.output.skipped_records import SkippedRecords
from bridge.cli.params.log_start import BEGINNING, LogStart

if TYPE_CHECKING:
    from bridge.commands.history import CommandHistory
    from bridge.wiring import Bridge


async def read_histories(bridge: Bridge, since: int | None) -> dict[str, CommandHistory]:
    """Every command that was requested since then, by id, in order of their requests."""
    from bridge.cli.decoding import system_topic_history
    from bridge.commands.history import command_histories

    start = BEGINNING if since is None else LogStart("time", since)
    skipped = SkippedRecords()
    names = ["commands", "audit", "receipts"]
    async with contextlib.aclosing(system_topic_history(bridge, names, start)) as decoded_records:
        records = []
        async for item in decoded_records:
            if item.fixed is not None:
                records.append(item.fixed)
            else:
                skipped.note(item.record, item.unreadable)
    skipped.tell()
    histories = command_histories(records)
    # Steps and receipts of older commands came along: those aren't "since".
    return {
        id_: history
        for id_, history in histories.items()
        if since is None or history.request is not None
    }
