"""Deletes a consumer group, which aiokafka's admin client has a request for and no method.

Source: https://kafka.apache.org/protocol#The_Messages_DeleteGroups
"""

from __future__ import annotations

from typing import Any

from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest

from bridge.log.kafka import internals
from bridge.model.errors import Rejected


async def delete_group(client: AIOKafkaAdminClient, group: str) -> None:
    """Delete it if it exists. Raises Rejected while it has members, KafkaError."""
    coordinator = await client.find_coordinator(group)
    answer: Any = await internals.ask(client, coordinator, DeleteGroupsRequest([group]))
    [(_, code)] = answer.results
    error = kafka.for_code(code)
    if error is kafka.NonEmptyGroup:
        raise Rejected("group_in_use", f"group {group} has live members: stop them first")
    if error not in {kafka.NoError, kafka.GroupIdNotFound}:
        raise error(f"group {group}")
