"""Deleted change topics: their entities are paused instead of captured into empty topics.

Whether deleted before or during capture, the captured changes are lost, and an agent or a view that
begins now would mistake the rest for everything. `--resume` restores the rows by reading the table
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from bridge.capture.checkpoint.record import CheckpointRecord, EntityPause, pause, was_captured
from bridge.log.port import Log
from bridge.model.errors import ConfigurationError, RetryLater


def deleted_text(topic: str) -> str:
    """The message about a deleted topic."""
    return f"topic {topic} was deleted: everything captured into it is lost"


def pause_lost(
    progress: CheckpointRecord,
    system: str,
    topics: Mapping[str, str],
    existing: Collection[str],
    at: int,
) -> CheckpointRecord:
    """Pause the entities whose topic existed and is gone; `topics` by bare entity name. Pure."""
    for entity, topic in topics.items():
        captured = was_captured(progress, entity) and entity not in progress.paused
        if captured and topic not in existing:
            reason = (
                f"{deleted_text(topic)}. To have the table read again: bridgectl snapshot "
                f"{system}.{entity} --resume"
            )
            progress = pause(progress, entity, EntityPause(reason, progress.position, at))
    return progress


async def watch_topics(log: Log, topics: Collection[str], every_s: float) -> None:
    """Check repeatedly that the topics exist. Raises RetryLater once one doesn't, so that capture
    starts again and reports what that means.
    """
    while True:
        await asyncio.sleep(every_s)
        existing = await log.topics()
        missing = [topic for topic in topics if topic not in existing]
        if missing:
            raise RetryLater("; ".join(f"topic {topic} was deleted" for topic in missing))


def check_positions(topics: Collection[str], existing: Collection[str]) -> None:
    """Raises ConfigurationError if one of these internal topics was deleted while capture ran."""
    missing = [topic for topic in topics if topic not in existing]
    if missing:
        raise ConfigurationError(
            f"topics {', '.join(missing)} were deleted while capture ran: restore the log from a "
            "backup, or start the bridge again: it creates them again, empty, and reports which systems it "
            "can't continue"
        )
