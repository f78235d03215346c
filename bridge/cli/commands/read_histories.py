"""Reads the histories of commands, and reports unreadable records on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cli.output.skipped_records import SkippedRecords

if TYPE_CHECKING:
    from bridge.commands.history import CommandHistory
    from bridge.wiring import Bridge


async def read_histories(bridge: Bridge, since: int | None) -> dict[str, CommandHistory]:
    """Every command requested since then, by id, in order of their requests."""
    from bridge.wiring import command_histories

    skipped = SkippedRecords()
    histories = await command_histories.read_histories(bridge, since, skipped.note)
    skipped.tell()
    return histories
