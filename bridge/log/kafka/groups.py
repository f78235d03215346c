"""Consumer groups of a cluster: their members, their offsets, and what a user may do with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import errors as kafka

from bridge.log.kafka.admin import KafkaAdmin
from bridge.log.kafka.deleted_groups import delete_group
from bridge.log.kafka.group_operations import group_operations
from bridge.log.kafka.stable_offsets import stable_offsets
from bridge.log.kafka.subscription import subscription
from bridge.log.port import GroupInfo, TopicPartition


class KafkaGroups:
    """Asks and changes consumer groups. Raises the port's errors."""

    def __init__(self, admin: KafkaAdmin) -> None:
        self._admin = admin

    async def groups(self) -> Mapping[str, GroupInfo]:
        """Every consumer group with its members and commits."""
        listed = await self._admin.ask("list of groups", self._admin.client.list_consumer_groups)
        groups = {}
        for name in sorted({group[0] for group in listed if group[1] in {"consumer", ""}}):
            described = await self._members(name)
            topics = frozenset[str]().union(*(subscription(each[3]) for each in described))
            members = tuple(each[0] for each in described)
            groups[name] = GroupInfo(name, members, await self._all_committed(name), topics)
        return groups

    async def delete_group(self, group: str) -> None:
        """Forget a group and its offsets. Raises Rejected while it has members."""
        await self._admin.ask(
            f"deletion of group {group}", lambda: delete_group(self._admin.client, group)
        )

    async def members(self, group: str) -> tuple[str, ...]:
        """Ids of the live members of a group."""
        return tuple(member[0] for member in await self._members(group))

    async def _members(self, group: str) -> list[tuple[str, str, str, bytes, bytes]]:
        """Id, client id, host, metadata and assignment of each live member."""
        members: list[tuple[str, str, str, bytes, bytes]] = (await self._described(group))[5]
        return members

    async def _described(self, group: str) -> Any:
        """Error code, name, state, types and members of a group."""

        async def describe() -> Any:
            answers: list[Any] = await self._admin.client.describe_consumer_groups([group])
            [described] = [each for answer in answers for each in answer.groups]
            error = kafka.for_code(described[0])
            if error not in {kafka.NoError, kafka.GroupIdNotFound}:
                # A coordinator that is loading or moving knows no members, which doesn't mean that
                # there are none.
                raise error(f"group {group}")
            return described

        return await self._admin.ask(f"group {group}", describe)

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int | None]:
        """A group's committed offsets, None where it has none."""
        wanted = list(partitions)
        if not wanted:
            return {}
        offsets = await self._admin.ask(
            f"offsets of group {group}", lambda: stable_offsets(self._admin.client, group, wanted)
        )
        return {partition: offsets.get(partition) for partition in wanted}

    async def _all_committed(self, group: str) -> dict[TopicPartition, int]:
        offsets = await self._admin.ask(
            f"offsets of group {group}",
            lambda: self._admin.client.list_consumer_group_offsets(group),
        )
        return {
            TopicPartition(*partition): at.offset
            for partition, at in offsets.items()
            if at.offset >= 0
        }

    async def group_operations(self, group: str) -> int:
        """What this user may do with a group, as bits of AclOperation. Raises the port's errors."""
        return await self._admin.ask(
            f"group {group}", lambda: group_operations(self._admin.client, group)
        )
