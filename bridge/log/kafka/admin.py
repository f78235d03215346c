"""Topics and groups of a cluster, over one admin client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bridge.log.check_port import Authorizer
from bridge.log.kafka.authorizer import authorizer_of
from bridge.log.kafka.deleted_groups import delete_group
from bridge.log.kafka.errors import translate, translated_errors
from bridge.log.kafka.group_operations import group_operations
from bridge.log.kafka.settings import KafkaSettings
from bridge.log.kafka.stable_offsets import stable_offsets
from bridge.log.kafka.subscription import subscription
from bridge.log.kafka.topic_config import NEWER_ENTRIES, entries_of, spec_of
from bridge.log.port import GroupInfo, TopicInfo, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.retry import RetryPolicy, retry
from bridge.single_flight import SingleFlight

T = TypeVar("T")

#: Seconds in which a question is asked again while the broker is busy or away.
ASK_TIMEOUT_S = 10.0
#: Seconds in which a new topic shows up at every broker.
NEW_TOPIC_TIMEOUT_S = 5.0
#: Seconds after which a topic that isn't shown is taken not to be there.
MISSING_TOPIC_TIMEOUT_S = 0.5


def _may_pass(error: BaseException) -> bool:
    """Whether asking again may help: a coordinator that loads, a leader that moves."""
    return isinstance(error, kafka.KafkaError) and error.retriable


class KafkaAdmin:
    """Asks and changes what is not records. Raises the port's errors."""

    def __init__(self, client: AIOKafkaAdminClient, settings: KafkaSettings) -> None:
        self._client = client
        self._settings = settings
        self._counts: dict[str, int] = {}
        self._count_flights: SingleFlight[str, None] = SingleFlight()

    async def close(self) -> None:
        await self._client.close()

    async def partitions(self, topic: str) -> int:
        """The number of partitions, as first seen. Raises ConfigurationError: no such topic."""
        count = self._counts.get(topic)
        if count is None:
            await self._count_flights.result(
                topic, lambda: self._wait_for_topics([topic], MISSING_TOPIC_TIMEOUT_S)
            )
            count = self._counts.get(topic)
        if count is None:
            raise ConfigurationError(
                f"topic {topic} does not exist in {self._settings.name}: `bridgectl run` creates "
                "the bridge's topics when it starts"
            )
        return count

    async def create(self, specs: Iterable[TopicSpec]) -> None:
        """Create those that are missing; see the port."""
        wanted = {spec.name: spec for spec in specs}
        existing = await self._existing()
        self._check_counts(wanted, existing)
        missing = [spec for name, spec in wanted.items() if name not in existing]
        if not missing:
            return
        replication = await self._replication()
        refused = await self._create(missing, replication, leave_out=frozenset())
        if refused:
            # Older brokers refuse what they don't know, and say so only in words.
            await self._create(refused, replication, leave_out=frozenset(NEWER_ENTRIES), last=True)
        await self._wait_for_topics([spec.name for spec in missing], NEW_TOPIC_TIMEOUT_S)
        self._check_counts(wanted, self._counts)

    async def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic but Kafka's own."""
        existing = await self._existing()
        settings = await self.settings(existing)
        return {
            name: TopicInfo(spec_of(name, existing[name], entries), existing[name])
            for name, entries in settings.items()
        }

    async def settings(self, topics: Iterable[str]) -> dict[str, dict[str, str | None]]:
        """The configuration entries of those of the topics that are there."""
        names = sorted(topics)
        settings: dict[str, dict[str, str | None]] = {}
        for at in range(0, len(names), 500):
            resources = [
                ConfigResource(ConfigResourceType.TOPIC, name) for name in names[at : at + 500]
            ]
            answers: list[Any] = await self._ask(
                "configuration of topics", partial(self._client.describe_configs, resources)
            )
            for answer in answers:
                for resource in answer.resources:
                    code, text, _, name, entries = resource[:5]
                    if kafka.for_code(code) is kafka.UnknownTopicOrPartitionError:
                        continue  # It was deleted since the topics were listed.
                    if code:
                        raise translate(
                            kafka.for_code(code)(text), f"configuration of topic {name}"
                        )
                    settings[name] = {entry[0]: entry[1] for entry in entries}
        return settings

    async def refusals(self, specs: Iterable[TopicSpec]) -> dict[str, str]:
        """Why those of the topics that are missing could not be created, by name; none is made."""
        existing = await self._existing()
        missing = [spec for spec in specs if spec.name not in existing]
        if not missing:
            return {}
        new = self._new_topics(missing, await self._replication(), frozenset(NEWER_ENTRIES))
        answer = await self._ask(
            "creation of topics",
            lambda: self._client.create_topics(new, validate_only=True),
        )
        return {
            name: str(translate(kafka.for_code(code)(text), f"creation of topic {name}"))
            for name, code, text in (
                (error[0], error[1], error[2]) for error in answer.topic_errors
            )
            if kafka.for_code(code) not in {kafka.NoError, kafka.TopicAlreadyExistsError}
        }

    async def group_operations(self, group: str) -> int:
        """What this user may do with a group, as bits of AclOperation. Raises the port's errors."""
        return await self._ask(f"group {group}", lambda: group_operations(self._client, group))

    async def authorizer(self, topic: str) -> Authorizer:
        """Who may write a topic. Raises the port's errors."""
        return await self._ask("access lists", lambda: authorizer_of(self._client, topic))

    async def groups(self) -> Mapping[str, GroupInfo]:
        """Every consumer group with its members and commits."""
        listed = await self._ask("list of groups", self._client.list_consumer_groups)
        groups = {}
        for name in sorted({group[0] for group in listed if group[1] in {"consumer", ""}}):
            described = await self._members(name)
            topics = frozenset[str]().union(*(subscription(each[3]) for each in described))
            members = tuple(each[0] for each in described)
            groups[name] = GroupInfo(name, members, await self._all_committed(name), topics)
        return groups

    async def delete_group(self, group: str) -> None:
        """Forget a group and its offsets. Raises Rejected while it has members."""
        await self._ask(f"deletion of group {group}", lambda: delete_group(self._client, group))

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
            answers: list[Any] = await self._client.describe_consumer_groups([group])
            [described] = [each for answer in answers for each in answer.groups]
            error = kafka.for_code(described[0])
            if error not in {kafka.NoError, kafka.GroupIdNotFound}:
                # A coordinator that loads or moves knows no members: that isn't none.
                raise error(f"group {group}")
            return described

        return await self._ask(f"group {group}", describe)

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int | None]:
        """What a group committed, None where it didn't."""
        wanted = list(partitions)
        if not wanted:
            return {}
        offsets = await self._ask(
            f"offsets of group {group}", lambda: stable_offsets(self._client, group, wanted)
        )
        return {partition: offsets.get(partition) for partition in wanted}

    async def _all_committed(self, group: str) -> dict[TopicPartition, int]:
        offsets = await self._ask(
            f"offsets of group {group}", lambda: self._client.list_consumer_group_offsets(group)
        )
        return {
            TopicPartition(*partition): at.offset
            for partition, at in offsets.items()
            if at.offset >= 0
        }

    async def _existing(self) -> dict[str, int]:
        """Partitions by topic; remembers them. Asking for all topics never creates one."""
        listed = await self._ask("list of topics", self._client.describe_topics)
        existing = {
            topic["topic"]: len(topic["partitions"])
            for topic in listed
            if not topic["is_internal"] and not topic["error_code"]
        }
        for name, count in existing.items():
            self._counts.setdefault(name, count)
        return existing

    async def _wait_for_topics(self, names: Iterable[str], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while set(names) - set(await self._existing()):
            if loop.time() > deadline:
                return
            await asyncio.sleep(0.1)  # Kafka sends no notice once its brokers know it.

    def _check_counts(self, wanted: Mapping[str, TopicSpec], existing: Mapping[str, int]) -> None:
        wrong = [
            f"topic {name} has {existing[name]} partitions, not {spec.partitions}"
            for name, spec in wanted.items()
            if spec.partitions is not None
            and existing.get(name, spec.partitions) != spec.partitions
        ]
        if wrong:
            raise ConfigurationError(
                f"{'; '.join(wrong)}: a key's partition would change; configure the number that "
                "is there, or move to another log with `bridgectl log copy`"
            )

    async def _replication(self) -> int:
        """How many copies to ask for: aiokafka's requests can't leave it to the brokers."""
        if self._settings.replication != -1:
            return self._settings.replication
        cluster = await self._ask("brokers", self._client.describe_cluster)
        broker = str(cluster["brokers"][0]["node_id"])
        name = "default.replication.factor"
        resource = ConfigResource(ConfigResourceType.BROKER, broker, {name: ""})
        [answer] = await self._ask(
            f"configuration of broker {broker}", lambda: self._client.describe_configs([resource])
        )
        code, text, _, _, entries = answer.resources[0][:5]
        if code:
            failure = translate(kafka.for_code(code)(text), f"configuration of broker {broker}")
            raise ConfigurationError(f"{failure}: set log.kafka.replication instead")
        return int({entry[0]: entry[1] for entry in entries}[name])

    async def _create(
        self,
        specs: Iterable[TopicSpec],
        replication: int,
        *,
        leave_out: frozenset[str],
        last: bool = False,
    ) -> list[TopicSpec]:
        """Create topics; those whose configuration was refused, unless it is the last try."""
        by_name = {spec.name: spec for spec in specs}
        new = self._new_topics(by_name.values(), replication, leave_out)
        answer = await self._ask("creation of topics", lambda: self._client.create_topics(new))
        refused = []
        for name, code, text in ((error[0], error[1], error[2]) for error in answer.topic_errors):
            error = kafka.for_code(code)
            if error in {kafka.NoError, kafka.TopicAlreadyExistsError}:
                continue
            if error is kafka.InvalidConfigurationError and not last:
                refused.append(by_name[name])
            else:
                raise translate(error(text), f"creation of topic {name}")
        return refused

    def _new_topics(
        self, specs: Iterable[TopicSpec], replication: int, leave_out: frozenset[str]
    ) -> list[NewTopic]:
        return [
            NewTopic(
                spec.name,
                spec.partitions or self._settings.partitions,
                replication,
                topic_configs={
                    name: value
                    for name, value in entries_of(spec, self._settings.min_insync).items()
                    if name not in leave_out
                },
            )
            for spec in specs
        ]

    async def _ask(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        """Ask, again while it may help."""
        timeout_s = min(self._settings.timeout, ASK_TIMEOUT_S)
        policy = RetryPolicy(first_wait_s=0.05, give_up_after_s=timeout_s, may_pass=_may_pass)
        with translated_errors(doing):
            try:
                return await retry(call, policy)
            except (AttributeError, AssertionError) as error:
                # aiokafka's cluster data is empty while no broker answers.
                raise RetryLater(f"{doing}: no broker answers") from error
