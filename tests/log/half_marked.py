"""Writes the markers of a transaction one partition after the other, on a real broker.

A test writes them itself, as the coordinator does (WriteTxnMarkers), so that it decides when
each partition's arrives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiokafka
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

from bridge.log.port import Log, TopicPartition, TopicSpec

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


@asynccontextmanager
async def half_marked(bootstrap: str, log: Log, topic: str) -> AsyncIterator[HalfMarked]:
    """A new topic with such a transaction. It is aborted in the end where it isn't marked."""
    await log.create_topics([TopicSpec(topic, partitions=2)])
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=f"{topic}.producer", acks="all"
    )
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await producer.start()
    await client.start()
    try:
        await producer.begin_transaction()
        for partition in range(2):
            await producer.send_and_wait(topic, b"whole", partition=partition)
        yield HalfMarked(producer, client, topic)
        await producer.abort_transaction()
    finally:
        await producer.stop()
        await client.close()
