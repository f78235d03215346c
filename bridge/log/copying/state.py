"""How far a copy came, in the target itself, written in the transactions that it describes.

Topic `_{bridge}.copied`, one partition, compacted; values are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.log.port import Entry, Log, TopicPartition, TopicSpec, Transaction
from bridge.log.read_to_end import read_to_end
from bridge.model.errors import ConfigurationError
from bridge.model.names import internal_topic

COPIED = "copied"


class CopyState:
    """What earlier runs did. Made by `load`, after the copy's producer was opened."""

    def __init__(self, topic: str, found: dict[str, Any]) -> None:
        self._topic = topic
        self._found = found

    @classmethod
    async def load(cls, target: Log, bridge: str, source: str) -> CopyState:
        """Read it. Raises ConfigurationError when the target was copied from another log."""
        topic = internal_topic(bridge, COPIED)
        await target.create_topics([TopicSpec(topic, "compact", 1)])
        found = await _newest(target, TopicPartition(topic, 0))
        known = found.get("source", {"name": source})["name"]
        if known != source:
            raise ConfigurationError(
                f"{target.name} was copied from {known}, not from {source}: copy into a log of "
                "its own"
            )
        return cls(topic, found)

    def next_offset(self, place: TopicPartition) -> int | None:
        """The first offset of the source that was not copied."""
        told = self._found.get(f"at:{place.topic}/{place.partition}")
        return None if told is None else int(told["next"])

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """Where a group goes on in the target, by partition, as far as that is known."""
        told = self._found.get(f"group:{topic}/{group}", {})
        return {int(number): int(at) for number, at in told.items()}

    def ends(self, topic: str) -> dict[int, int] | None:
        """Where the target's partitions ended when the last copy was complete; None: it wasn't."""
        told = self._found.get("done")
        if told is None:
            return None
        return {int(number): int(at) for number, at in told.get(topic, {}).items()}

    async def begin(self, target: Log, source: str) -> None:
        """A run begins: until it ends, nothing is said of the ends."""
        self._found.pop("done", None)
        self._found["source"] = {"name": source}
        await target.append(
            self._topic, [_entry("source", self._found["source"]), Entry(b"done", None)]
        )

    async def copied(self, transaction: Transaction, place: TopicPartition, upto: int) -> None:
        """With this transaction everything below `upto` is copied."""
        await self._put(transaction, f"at:{place.topic}/{place.partition}", {"next": upto})

    async def place_group(
        self, transaction: Transaction, group: str, topic: str, offsets: Mapping[int, int]
    ) -> None:
        """With this transaction it is known where a group goes on in these partitions."""
        told = {**self.group_offsets(group, topic), **offsets}
        await self._put(
            transaction, f"group:{topic}/{group}", {str(at): told[at] for at in sorted(told)}
        )

    async def forget_group(self, transaction: Transaction, group: str, topic: str) -> None:
        """The group has handled all that was copied so far."""
        if self._found.pop(f"group:{topic}/{group}", None) is not None:
            key = f"group:{topic}/{group}".encode()
            await transaction.append(self._topic, [Entry(key, None)])

    async def done(self, target: Log, ends: Mapping[TopicPartition, int]) -> None:
        """A run is complete."""
        told: dict[str, dict[str, int]] = {}
        for place, end in ends.items():
            told.setdefault(place.topic, {})[str(place.partition)] = end
        self._found["done"] = told
        await target.append(self._topic, [_entry("done", told)])

    async def _put(self, transaction: Transaction, key: str, value: Any) -> None:
        self._found[key] = value
        await transaction.append(self._topic, [_entry(key, value)])


def _entry(key: str, value: Any) -> Entry:
    return Entry(key.encode(), json.dumps(value, separators=(",", ":")).encode())


async def _newest(log: Log, place: TopicPartition) -> dict[str, Any]:
    """The last value of each key."""
    found: dict[str, Any] = {}
    async for records in read_to_end(log, await log.beginning_offsets([place])):
        for record in records:
            key = (record.key or b"").decode()
            if record.value is None:
                found.pop(key, None)
            else:
                found[key] = json.loads(record.value)
    return found
