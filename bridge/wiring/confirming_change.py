"""The change with which a command's effect came back through capture."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

from bridge.capture.report.confirmations import confirmed
from bridge.commands.history import CommandHistory
from bridge.log.follow_topics import partitions_of, read_by_time
from bridge.log.start_offsets import LogStart, resolve_offsets
from bridge.model.names import change_topic
from bridge.wiring import Bridge

MARGIN = timedelta(minutes=10)
"""How far the clocks of who asked and of who captured may differ."""


async def find_confirming_change(bridge: Bridge, history: CommandHistory) -> dict[str, Any] | None:
    """The first change of the command's entity that carries its id: entity, position, topic,
    partition, offset. None: not captured (yet), or the command isn't declared any more.

    Reads the entity's topic from the time of the request on.
    """
    spec = bridge.declared.get(history.name)
    if spec is None or history.at is None or history.receipt is None:
        return None
    topic = change_topic(bridge.name, spec.system, spec.entity)
    if topic not in await bridge.log.topics():
        return None
    start = LogStart("time", int((history.at - MARGIN).timestamp() * 1000))
    places = await resolve_offsets(bridge.log, await partitions_of(bridge.log, [topic]), start)
    async with contextlib.aclosing(read_by_time(bridge.log, places)) as batches:
        async for batch in batches:
            for record in batch:
                confirmation = confirmed(record.headers) if record.value is not None else None
                if confirmation is not None and confirmation.command_id == history.id:
                    return {
                        "entity": confirmation.entity,
                        "position": confirmation.position,
                        "topic": record.topic,
                        "partition": record.partition,
                        "offset": record.offset,
                    }
    return None
