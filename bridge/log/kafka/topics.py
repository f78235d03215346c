"""Topics of a cluster: which there are, what they should look like, and who may write them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from aiokafka import errors as kafka
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bridge.log.check_port import Authorizer
from bridge.log.kafka.admin import KafkaAdmin
from bridge.log.kafka.authorizer import authorizer_of
from bridge.log.kafka.errors import translate
from bridge.log.kafka.settings import KafkaSettings
from bridge.log.kafka.topic_config import NEWER_ENTRIES, entries_of, spec_of
from bridge.log.port import TopicInfo, TopicSpec
from bridge.model.errors import ConfigurationError
from bridge.single_flight import SingleFlight

#: Seconds in which a new topic appears at every broker.
NEW_TOPIC_TIMEOUT_S = 5.0
#: Seconds after which a topic that doesn't appear counts as not existing.
MISSING_TOPIC_TIMEOUT_S = 0.5


class KafkaTopics:
    """Asks and creates topics, and who may write them. Raises the port's errors."""

    def __init__(self, admin: KafkaAdmin, settings: KafkaSettings) -> None:
        self._admin = admin
        self._settings = settings
        self._counts: dict[str, int] = {}
        self._count_flights: SingleFlight[str, None] = SingleFlight()

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
            # Older brokers refuse unknown entries, and report that only in the message.
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
        """The configuration entries of the existing topics."""
        names = sorted(topics)
        settings: dict[str, dict[str, str | None]] = {}
        for at in range(0, len(names), 500):
            resources = [
                ConfigResource(ConfigResourceType.TOPIC, name) for name in names[at : at + 500]
            ]
            answers: list[Any] = await self._admin.ask(
                "configuration of topics", partial(self._admin.client.describe_configs, resources)
            )
            for answer in answers:
                for resource in answer.resources:
                    code, text, _, name, entries = resource[:5]
                    if kafka.for_code(code) is kafka.UnknownTopicOrPartitionError:
                        continue  # It was deleted after the topics were listed.
                    if code:
                        raise translate(
                            kafka.for_code(code)(text), f"configuration of topic {name}"
                        )
                    settings[name] = {entry[0]: entry[1] for entry in entries}
        return settings

    async def refusals(self, specs: Iterable[TopicSpec]) -> dict[str, str]:
        """Missing topic -> why it could not be created; creates none."""
        existing = await self._existing()
        missing = [spec for spec in specs if spec.name not in existing]
        if not missing:
            return {}
        new = self._new_topics(missing, await self._replication(), frozenset(NEWER_ENTRIES))
        answer = await self._admin.ask(
            "creation of topics",
            lambda: self._admin.client.create_topics(new, validate_only=True),
        )
        return {
            name: str(translate(kafka.for_code(code)(text), f"creation of topic {name}"))
            for name, code, text in (
                (error[0], error[1], error[2]) for error in answer.topic_errors
            )
            if kafka.for_code(code) not in {kafka.NoError, kafka.TopicAlreadyExistsError}
        }

    async def authorizer(self, topic: str) -> Authorizer:
        """Who may write a topic. Raises the port's errors."""
        return await self._admin.ask(
            "access lists", lambda: authorizer_of(self._admin.client, topic)
        )

    async def _existing(self) -> dict[str, int]:
        """Partitions by topic, cached. Requesting all topics never creates one."""
        listed = await self._admin.ask("list of topics", self._admin.client.describe_topics)
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
        """The replication to request: aiokafka's requests can't leave it to the brokers."""
        if self._settings.replication != -1:
            return self._settings.replication
        cluster = await self._admin.ask("brokers", self._admin.client.describe_cluster)
        broker = str(cluster["brokers"][0]["node_id"])
        name = "default.replication.factor"
        resource = ConfigResource(ConfigResourceType.BROKER, broker, {name: ""})
        [answer] = await self._admin.ask(
            f"configuration of broker {broker}",
            lambda: self._admin.client.describe_configs([resource]),
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
        answer = await self._admin.ask(
            "creation of topics", lambda: self._admin.client.create_topics(new)
        )
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
