"""What replays into topics note of themselves: `_{bridge}.replays`, the last note per name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

from bridge.log.port import Log, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model.names import REPLAYS, internal_topic

FINISHED: Final = "finished"
"""True in the note of a replay that has come to its end."""


def replay_group(bridge: str, name: str) -> str:
    """The consumer group that holds how far the replay of this name is."""
    return f"{bridge}.replay.{name}"


def notes_partition(bridge: str) -> TopicPartition:
    """Where the notes are."""
    return TopicPartition(internal_topic(bridge, REPLAYS), 0)


async def replay_notes(log: Log, partition: TopicPartition) -> dict[str, Mapping[str, Any]]:
    """The last note of each replay, by its name. Records that are none are left out. Raises
    RetryLater when they can't be read to their end.
    """
    notes: dict[str, Mapping[str, Any]] = {}
    async with aclosing(read_to_end(log, await log.beginning_offsets([partition]))) as batches:
        async for records in batches:
            for record in records:
                note = _note_of(record.value)
                if note is not None and record.key is not None:
                    notes[record.key.decode(errors="replace")] = note
    return notes


async def finished_replays(log: Log, bridge: str) -> frozenset[str]:
    """The groups of replays that have finished."""
    partition = notes_partition(bridge)
    if partition.topic not in await log.topics():
        return frozenset()
    notes = await replay_notes(log, partition)
    return frozenset(
        replay_group(bridge, name) for name, note in notes.items() if note.get(FINISHED)
    )


def _note_of(value: bytes | None) -> Mapping[str, Any] | None:
    """What a record of the notes holds; None for one that something else wrote."""
    try:
        noted = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    return noted if isinstance(noted, dict) and "selection" in noted else None
