"""One server's view of its cluster: its id, its brokers, and what the user may do.

aiokafka asks in version 5 of the protocol; version 8 (KIP-430) reports the user's operations, too.
Source: https://kafka.apache.org/protocol#The_Messages_Metadata
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import errors as kafka
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

#: Bits of `authorized_operations`.
#: Source: org.apache.kafka.common.acl.AclOperation
READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 8, 10
OPERATION_NAMES: Final = {
    READ: "Read",
    WRITE: "Write",
    DESCRIBE: "Describe",
    DESCRIBE_CONFIGS: "DescribeConfigs",
}
_UNKNOWN_OPERATIONS: Final = -(2**31)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("authorized_operations", Int32),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        return request_struct_class(self._topics, False, False, True)


@dataclass(frozen=True, slots=True)
class TopicRights:
    """A topic as this user sees it.

    `missing`: operations that the user may not perform; `replicas`: the fewest of any partition.
    """

    missing: tuple[str, ...]
    replicas: int


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One server's report. `brokers`: the addresses for clients; `topics`: the existing ones of
    those requested.
    """

    cluster_id: str
    brokers: tuple[tuple[str, int], ...]
    topics: Mapping[str, TopicRights]


async def view(
    server: tuple[str, int],
    arguments: Mapping[str, Any],
    topics: Sequence[str],
    timeout: float,
) -> ClusterView:
    """Connect to a server, log in and query it. Raises what aiokafka and the network raise."""
    host, port = server
    connection = AIOKafkaConnection(
        host,
        port,
        request_timeout_ms=int(timeout * 1000),
        **{name: value for name, value in arguments.items() if name != "bootstrap_servers"},
    )
    try:
        await connection.connect()
        answer: Any = await connection.send(_Metadata(topics))
    finally:
        # TLS has a closing handshake; don't wait for a server that doesn't answer it.
        await asyncio.wait([connection.close()], timeout=0.5)
    return ClusterView(
        answer.cluster_id or "",
        tuple((broker[1], broker[2]) for broker in answer.brokers),
        {
            name: TopicRights(
                tuple(_missing(code, operations)),
                min((len(partition[4]) for partition in partitions), default=0),
            )
            for code, name, _, partitions, operations in answer.topics
            if kafka.for_code(code)
            in {kafka.NoError, kafka.TopicAuthorizationFailedError, kafka.LeaderNotAvailableError}
        },
    )


def _missing(code: int, operations: int) -> list[str]:
    if kafka.for_code(code) is kafka.TopicAuthorizationFailedError:
        return [OPERATION_NAMES[DESCRIBE]]
    return missing_operations(operations, (READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS))


def missing_operations(operations: int, needed: Sequence[int]) -> list[str]:
    """Names of those operations that aren't authorized; none if that is unknown."""
    if operations == _UNKNOWN_OPERATIONS:
        return []
    return [OPERATION_NAMES[each] for each in needed if not operations >> each & 1]
