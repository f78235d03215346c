"""Change topics that somebody deleted: their entities are paused, never captured on into empty ones.

Deleted before capture began, or under it: what was captured is lost, and an agent or a view that
begins now would take the rest for all there is. The rows come back with `--resume`, which has the table
read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from bridge.capture.checkpoint.record import CheckpointRecord, EntityPause, pause, was_captured
from bridge.log.port import Log
from bridge.model.errors import ConfigurationError, RetryLater


def deleted_text(topic: str) -> str:
    """What to say of one."""
    return f"topic {topic} was deleted: all that was captured into it is lost"


def pause_lost(
    progress: CheckpointRecord,
    system: str,
    topics: Mapping[str, str],
    existing: Collection[str],
    at: int,
) -> CheckpointRecord:
    """With the entities paused whose topic was there and is gone; `topics` by bare entity name. Pure."""
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
    """Look again and again whether they are there. Raises RetryLater when one of them isn't, so that
    capture begins again and says what that means.
    """
    while True:
        await asyncio.sleep(every_s)
        existing = await log.topics()
        missing = [topic for topic in topics if topic not in existing]
        if missing:
            raise RetryLater("; ".join(f"topic {topic} was deleted" for topic in missing))


def check_positions(topics: Collection[str], existing: Collection[str]) -> None:
    """Raises ConfigurationError when one of these internal topics was deleted while capture ran."""
    missing = [topic for topic in topics if topic not in existing]
    if missing:
        raise ConfigurationError(
            f"topics {', '.join(missing)} were deleted while capture ran: bring the log back from a "
            "backup, or start the bridge again: it creates them again, empty, and says which systems it "
            "can't continue"
        )
