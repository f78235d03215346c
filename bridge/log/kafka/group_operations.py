"""What this user may do with a consumer group (KIP-430).

aiokafka asks for it in version 3 of the protocol and reads the answer as version 2, without it.
Source: https://kafka.apache.org/protocol#The_Messages_DescribeGroups
"""

from __future__ import annotations

from typing import Any

from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request

from bridge.log.kafka import internals


class _GroupOperationsStruct(DescribeGroupsRequest_v3):  # type: ignore[misc]
    RESPONSE_TYPE = DescribeGroupsResponse_v3


class _GroupOperations(Request[_GroupOperationsStruct]):  # type: ignore[misc]
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_GroupOperationsStruct]) -> _GroupOperationsStruct:
        return request_struct_class([self._group], True)


async def group_operations(client: AIOKafkaAdminClient, group: str) -> int:
    """Bits of AclOperation. Raises KafkaError."""
    coordinator = await client.find_coordinator(group)
    answer: Any = await internals.ask(client, coordinator, _GroupOperations(group))
    [described] = answer.groups
    error = kafka.for_code(described[0])
    if error not in {kafka.NoError, kafka.GroupIdNotFound}:
        raise error(f"group {group}")
    return int(described[6])
