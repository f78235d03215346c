"""Reads what became of commands out of the log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bridge.cli.given.start import BEGINNING, Start
from bridge.cli.given.unreadable import SkippedRecords

if TYPE_CHECKING:
    from bridge.cli.commands.story import Story
    from bridge.wiring import Bridge


async def read_stories(bridge: Bridge, since: int | None) -> dict[str, Story]:
    """Every command that was requested since then, by id, in order of their requests."""
    from bridge.cli.commands.story import stories
    from bridge.cli.decoding import fixed_history

    start = BEGINNING if since is None else Start("time", since)
    skipped = SkippedRecords()
    names = ["commands", "audit", "receipts"]
    async with contextlib.aclosing(fixed_history(bridge, names, start)) as found:
        records = []
        async for item in found:
            if item.fixed is not None:
                records.append(item.fixed)
            else:
                skipped.note(item.record, item.unreadable)
    skipped.tell()
    told = stories(records)
    # Steps and receipts of older commands came along: those aren't "since".
    return {id_: story for id_, story in told.items() if since is None or story.request is not None}
