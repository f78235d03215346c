"""A position doesn't pass what is missing before that was raised: positions prove what was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest

from bridge.log.kafka.consumer import KafkaConsumer
from bridge.log.port import Gap, RecordsRemoved, TopicPartition

pytestmark = pytest.mark.asyncio
PARTITION = TopicPartition("t", 0)
BEGIN = 7


class ResettingClient:
    """aiokafka after it has reset a position to the first record that exists."""

    def __init__(self, position: int) -> None:
        self.state = SimpleNamespace(position=position, has_valid_position=True)
        self.records: list[int] = []
        assignment = SimpleNamespace(
            tps={aiokafka.TopicPartition(*PARTITION)}, state_value=lambda _: self.state
        )
        subscription = SimpleNamespace(assignment=assignment)
        self._subscription = SimpleNamespace(subscription=subscription)

    def assignment(self) -> set[Any]:
        return {aiokafka.TopicPartition(*PARTITION)}

    def seek(self, partition: Any, offset: int) -> None:
        assert partition == PARTITION
        self.state.position = offset

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[Any, list[Any]]:
        del timeout_ms, max_records
        at, self.records = self.records, []
        return {
            PARTITION: [
                SimpleNamespace(
                    topic="t", partition=0, offset=each, timestamp=0, key=b"", value=b"", headers=()
                )
                for each in at
            ]
        }


async def begins(partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
    return dict.fromkeys(partitions, BEGIN)


async def test_a_position_waits_at_what_is_missing_until_it_was_raised() -> None:
    client = ResettingClient(BEGIN)
    reader = KafkaConsumer(client, "reader", begins=begins)
    reader._note(PARTITION, 2)

    assert reader.position(PARTITION) == 2
    with pytest.raises(RecordsRemoved) as removed:
        await reader.read(10, 0.0)
    assert removed.value.gaps == {PARTITION: Gap(2, BEGIN)}
    assert reader.position(PARTITION) == BEGIN


async def test_records_that_were_fetched_before_the_missing_ones_are_part_of_the_gap() -> None:
    """They can't be delivered after the error, as later ones."""
    client = ResettingClient(5)
    reader = KafkaConsumer(client, "reader", begins=begins)
    client.records = [2, 3, 4]
    assert [record.offset for record in await reader.read(1, 0.0)] == [2]
    # aiokafka returns more than was asked for where a fetch has begun with a higher limit.
    reader._note(PARTITION, 5)

    assert reader.position(PARTITION) == 3
    with pytest.raises(RecordsRemoved) as removed:
        await reader.read(10, 0.0)
    assert removed.value.gaps == {PARTITION: Gap(3, BEGIN)}


async def test_a_reader_that_skips_passes_what_is_missing() -> None:
    client = ResettingClient(BEGIN)
    reader = KafkaConsumer(client, "reader")
    reader._note(PARTITION, 2)

    assert reader.position(PARTITION) == BEGIN
    assert await reader.read(10, 0.0) == []
