"""A transaction whose markers are written one partition after the other, on a real broker.

The test writes the markers itself, as the coordinator does (WriteTxnMarkers), so that it decides when
each partition's arrives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import aiokafka
import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from bridge.log.kafka import from_url
from bridge.log.kafka.log import KafkaLog
from bridge.log.port import Consumer, TopicPartition, TopicSpec
from bridge.log.read_to_end import read_past_markers

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

pytestmark = pytest.mark.asyncio

WRITE_TXN_MARKERS = 27


class _MarkersResponse(Response):  # type: ignore[misc]
    API_KEY = WRITE_TXN_MARKERS
    API_VERSION = 1
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        (
                            "partitions",
                            CompactArray(
                                ("partition_index", Int32),
                                ("error_code", Int16),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MarkersStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = WRITE_TXN_MARKERS
    API_VERSION = 1
    RESPONSE_TYPE = _MarkersResponse
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("transaction_result", Boolean),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("coordinator_epoch", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Markers(Request[_MarkersStruct]):  # type: ignore[misc]
    API_KEY = WRITE_TXN_MARKERS

    def __init__(self, markers: list[Any]) -> None:
        self._markers = markers

    def build(self, request_struct_class: type[_MarkersStruct]) -> _MarkersStruct:
        return request_struct_class(self._markers, {})


class HalfMarked:
    """An open transaction with one record in each of two partitions."""

    def __init__(
        self, producer: aiokafka.AIOKafkaProducer, client: AIOKafkaAdminClient, topic: str
    ) -> None:
        self._producer = producer
        self._client = client
        self._topic = topic
        self.partitions = [TopicPartition(topic, number) for number in range(2)]

    async def mark(self, partition: int) -> None:
        """Write the commit marker of one partition, and nothing else."""
        manager = self._producer._txn_manager
        topics: list[Any] = [(self._topic, [partition], {})]
        marker: Any = (manager.producer_id, manager.producer_epoch, True, topics, 0, {})
        response = await self._client._send_request(_Markers([marker]))
        ((_, ((_, ((_, code, _),), _),), _),) = response.markers
        assert code == 0, code


@pytest_asyncio.fixture
async def log(kafka: Kafka) -> AsyncIterator[KafkaLog]:
    log = from_url(f"kafka://{kafka.bootstrap}")
    await log.open()
    yield log
    await log.close()


@pytest_asyncio.fixture
async def half(
    kafka: Kafka, log: KafkaLog, request: pytest.FixtureRequest
) -> AsyncIterator[HalfMarked]:
    topic = f"half-{request.node.name}"
    await log.create_topics([TopicSpec(topic, partitions=2)])
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic}.producer", acks="all"
    )
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    await client.start()
    await producer.begin_transaction()
    for partition in range(2):
        await producer.send_and_wait(topic, b"whole", partition=partition)
    yield HalfMarked(producer, client, topic)
    await producer.abort_transaction()
    await producer.stop()
    await client.close()


async def numbers_up_to(reader: Consumer, ends: Mapping[TopicPartition, int]) -> list[int]:
    """The partitions of the records that come until all of `ends` are reached."""
    numbers: list[int] = []
    while behind := [each for each, at in ends.items() if reader.position(each) < at]:
        numbers += [r.partition for r in await read_past_markers(reader, behind, 100, 60.0)]
    return numbers


async def test_last_stable_offsets_are_reached_with_one_half(
    log: KafkaLog, half: HalfMarked
) -> None:
    """Why a barrier isn't passed when the last stable offsets are reached."""
    first, second = half.partitions
    reader = await log.reader(dict.fromkeys(half.partitions, 0))
    await half.mark(0)

    ends = await log.end_offsets(half.partitions)

    assert ends == {first: 2, second: 0}
    assert await numbers_up_to(reader, ends) == [0]


async def test_high_watermarks_are_reached_with_both_halves_only(
    log: KafkaLog, half: HalfMarked
) -> None:
    first, second = half.partitions
    reader = await log.reader(dict.fromkeys(half.partitions, 0))
    await half.mark(0)

    watermarks = await log.high_watermarks(half.partitions)

    assert watermarks == {first: 2, second: 1}
    assert await numbers_up_to(reader, {first: 2}) == [0]
    assert reader.position(second) < watermarks[second]
    await half.mark(1)
    assert await numbers_up_to(reader, watermarks) == [1]
