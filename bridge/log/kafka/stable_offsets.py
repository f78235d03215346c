"""A group's committed offsets, waiting for transactions that are about to commit some.

aiokafka requests offsets in version 3 of the protocol, which omits commits of a transaction whose
marker is still being written. Version 7 (KIP-447) reports them as unstable.
Source: https://kafka.apache.org/protocol#The_Messages_OffsetFetch
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiokafka import errors as kafka
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

from bridge.log.kafka import internals
from bridge.log.port import TopicPartition

_UNSTABLE_OFFSET_COMMIT = 88


class UnstableOffsets(kafka.KafkaError):  # type: ignore[misc]
    """An open transaction holds offsets of the group: retry."""

    retriable = True


class _StableOffsetsResponse(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _StableOffsetsStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = _StableOffsetsResponse
    SCHEMA = Schema(
        ("group_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("partition_indexes", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _StableOffsets(Request[_StableOffsetsStruct]):  # type: ignore[misc]
    API_KEY = 9

    def __init__(self, group: str, topics: list[tuple[str, list[int], dict[int, bytes]]]) -> None:
        self._group = group
        self._topics = topics

    def build(self, request_struct_class: type[_StableOffsetsStruct]) -> _StableOffsetsStruct:
        return request_struct_class(self._group, self._topics, True, {})


async def stable_offsets(
    client: AIOKafkaAdminClient, group: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """The group's committed offsets, without partitions that have none.

    Raises UnstableOffsets while a transaction holds some.
    """
    topics: dict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        topics[topic].append(number)
    request = _StableOffsets(group, [(name, numbers, {}) for name, numbers in topics.items()])
    coordinator = await client.find_coordinator(group)
    answer: Any = await internals.ask(client, coordinator, request)
    _raise_for(answer.error_code)
    offsets = {}
    for name, partition_answers, _ in answer.topics:
        for number, offset, _, _, code, _ in partition_answers:
            _raise_for(code)
            if offset >= 0:
                offsets[TopicPartition(name, number)] = offset
    return offsets


def _raise_for(code: int) -> None:
    if code == _UNSTABLE_OFFSET_COMMIT:
        raise UnstableOffsets("an open transaction holds offsets of this group")
    error = kafka.for_code(code)
    if error is not kafka.NoError:
        raise error
