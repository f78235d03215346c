"""Whether a cluster decides who may write, and who may write a topic there.

aiokafka has the request (DescribeAcls) and no method for it.
Source: https://kafka.apache.org/protocol#The_Messages_DescribeAcls
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DescribeAclsRequest

from bridge.log.check_port import Authorizer
from bridge.log.kafka import internals

# Codes of the protocol: resource type, pattern filter, operations, permission types.
TOPIC_RESOURCE: Final = 2
MATCHING_PATTERNS: Final = 2
ANY: Final = 1
ALL_OPERATIONS: Final = 2
WRITE_OPERATION: Final = 4
ALLOW: Final = 3
SECURITY_DISABLED: Final = 54
CLUSTER_AUTHORIZATION_FAILED: Final = 31


async def authorizer_of(client: AIOKafkaAdminClient, topic: str) -> Authorizer:
    """Ask a broker for the access lists that apply to a topic. Raises KafkaError."""
    request = DescribeAclsRequest(TOPIC_RESOURCE, topic, MATCHING_PATTERNS, None, None, ANY, ANY)
    answer: Any = await internals.ask_any(client, request)
    if answer.error_code == SECURITY_DISABLED:
        return Authorizer(present=False)
    if answer.error_code == CLUSTER_AUTHORIZATION_FAILED:
        return Authorizer(present=True)
    if answer.error_code:
        raise kafka.for_code(answer.error_code)(answer.error_message)
    writers = {
        principal
        for *_, entries in answer.resources
        for principal, _, operation, permission in entries
        if permission == ALLOW and operation in (WRITE_OPERATION, ALL_OPERATIONS)
    }
    return Authorizer(present=True, writers=tuple(sorted(writers)))
