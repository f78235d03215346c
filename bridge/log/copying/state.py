"""The progress of a copy, stored in the target by the transactions that it describes.

Topic `_{bridge}.copied`, one partition, compacted; values are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from bridge.log.port import Entry, Log, TopicPartition, Transaction
from bridge.log.read_to_end import read_to_end
from bridge.log.topic_specs import internal_topic_spec
from bridge.model.errors import ConfigurationError
from bridge.model.names import COPIED, internal_topic


class CopyState:
    """The progress of earlier runs. Created by `load`, after the copy's producer was opened."""

    def __init__(self, topic: str, values: dict[str, Any]) -> None:
        self._topic = topic
        self._values = values

    @classmethod
    async def load(cls, target: Log, bridge: str, source: str) -> CopyState:
        """Read it. Raises ConfigurationError if the target was copied from another log."""
        topic = internal_topic(bridge, COPIED)
        await target.create_topics([internal_topic_spec(bridge, COPIED)])
        values = await _newest(target, TopicPartition(topic, 0))
        copied_from = values.get("source", {"name": source})["name"]
        if copied_from != source:
            raise ConfigurationError(
                f"{target.name} was copied from {copied_from}, not from {source}: copy into a log of "
                "its own"
            )
        return cls(topic, values)

    def next_offset(self, partition: TopicPartition) -> int | None:
        """The first offset of the source that was not copied."""
        offset = self._values.get(f"at:{partition.topic}/{partition.partition}")
        return None if offset is None else int(offset["next"])

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """Where a group resumes in the target, by partition, as far as determined."""
        offsets = self._values.get(f"group:{topic}/{group}", {})
        return {int(number): int(at) for number, at in offsets.items()}

    def ends(self, topic: str) -> dict[int, int] | None:
        """Where the target's partitions ended when the last copy was complete; None: it wasn't."""
        ends = self._values.get("done")
        if ends is None:
            return None
        return {int(number): int(at) for number, at in ends.get(topic, {}).items()}

    async def begin(self, target: Log, source: str) -> None:
        """A run begins: until it ends, `ends` is None."""
        self._values.pop("done", None)
        self._values["source"] = {"name": source}
        await target.append(
            self._topic, [_entry("source", self._values["source"]), Entry(b"done", None)]
        )

    async def copied(self, transaction: Transaction, partition: TopicPartition, upto: int) -> None:
        """Record, in this transaction, that everything below `upto` is copied."""
        await self._put(transaction, f"at:{partition.topic}/{partition.partition}", {"next": upto})

    async def place_group(
        self, transaction: Transaction, group: str, topic: str, offsets: Mapping[int, int]
    ) -> None:
        """Record, in this transaction, where a group resumes in these partitions."""
        placed = {**self.group_offsets(group, topic), **offsets}
        await self._put(
            transaction, f"group:{topic}/{group}", {str(at): placed[at] for at in sorted(placed)}
        )

    async def forget_group(self, transaction: Transaction, group: str, topic: str) -> None:
        """Record that the group has handled everything copied so far."""
        if self._values.pop(f"group:{topic}/{group}", None) is not None:
            key = f"group:{topic}/{group}".encode()
            await transaction.append(self._topic, [Entry(key, None)])

    async def done(self, target: Log, ends: Mapping[TopicPartition, int]) -> None:
        """A run is complete."""
        by_topic: dict[str, dict[str, int]] = {}
        for partition, end in ends.items():
            by_topic.setdefault(partition.topic, {})[str(partition.partition)] = end
        self._values["done"] = by_topic
        await target.append(self._topic, [_entry("done", by_topic)])

    async def _put(self, transaction: Transaction, key: str, value: Any) -> None:
        self._values[key] = value
        await transaction.append(self._topic, [_entry(key, value)])


def _entry(key: str, value: Any) -> Entry:
    return Entry(key.encode(), json.dumps(value, separators=(",", ":")).encode())


async def _newest(log: Log, partition: TopicPartition) -> dict[str, Any]:
    """The last value of each key."""
    values: dict[str, Any] = {}
    async with aclosing(read_to_end(log, await log.beginning_offsets([partition]))) as batches:
        async for records in batches:
            for record in records:
                key = (record.key or b"").decode()
                if record.value is None:
                    values.pop(key, None)
                else:
                    values[key] = json.loads(record.value)
    return values
