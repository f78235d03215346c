"""Apache Kafka as the event log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import aiokafka

from bridge.log.check_port import Authorizer, LogFinding
from bridge.log.kafka import internals
from bridge.log.kafka.admin import ASK_TIMEOUT_S, KafkaAdmin
from bridge.log.kafka.appender import APPEND_PREFIX, APPEND_TIMEOUT_MS, KafkaAppender
from bridge.log.kafka.check import (
    check_one_cluster,
    rights_findings,
    server_findings,
    settings_findings,
)
from bridge.log.kafka.clients import REBALANCE_TIMEOUT_S, KafkaClients
from bridge.log.kafka.consumer import KafkaConsumer
from bridge.log.kafka.errors import translated_errors
from bridge.log.kafka.first_connection import check_connection
from bridge.log.kafka.groups import KafkaGroups
from bridge.log.kafka.membership import KafkaMembership
from bridge.log.kafka.metadata import DESCRIBE, READ, TopicRights, missing_operations
from bridge.log.kafka.offsets import KafkaOffsets
from bridge.log.kafka.producer import KafkaProducer
from bridge.log.kafka.producer_fencing import take_over
from bridge.log.kafka.settings import MAX_RECORD_BYTES, KafkaSettings
from bridge.log.kafka.topics import KafkaTopics
from bridge.log.port import Entry, GroupInfo, Rebalance, TopicInfo, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError, Rejected, RetryLater

#: Milliseconds that the broker keeps a transaction open without its owner responding.
TRANSACTION_TIMEOUT_MS: Final = 60_000
MAX_POLL_INTERVAL_MS: Final = 86_400_000


class KafkaLog:
    """The event log in a Kafka cluster; see `bridge.log.port.Log`.

    Each producer and each consumer has its own connections, as the protocol requires.
    """

    def __init__(
        self, settings: KafkaSettings, read_password: Callable[[], str] | None = None
    ) -> None:
        self._settings = settings
        self._clients = KafkaClients(settings, read_password)
        self._admin: KafkaAdmin | None = None
        self._topics_: KafkaTopics | None = None
        self._groups_: KafkaGroups | None = None
        self._offsets_: KafkaOffsets | None = None
        self._appender: KafkaAppender | None = None
        self._consumers: set[KafkaConsumer] = set()
        self._rights: Mapping[str, TopicRights] = {}

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def max_record_bytes(self) -> int:
        return MAX_RECORD_BYTES

    async def open(self) -> None:
        """Connect. Raises RetryLater if no server answers, ConfigurationError if one refuses the
        settings.
        """
        arguments = self._clients.prepare()
        await check_connection(self._settings, arguments)
        await check_one_cluster(self._settings, arguments)
        client = self._clients.admin()
        stable = self._clients.consumer(None)
        undecided = self._clients.consumer(None, isolation_level="read_uncommitted")
        with translated_errors(self.name):
            try:
                await client.start()
                await stable.start()
                await undecided.start()
            except BaseException:
                await client.close()
                await internals.stop(stable)
                await internals.stop(undecided)
                raise
        self._clients.follow_password(client)
        self._clients.keep_password()
        timeout = self._settings.timeout
        self._admin = KafkaAdmin(client, timeout)
        self._topics_ = topics = KafkaTopics(self._admin, self._settings)
        self._groups_ = KafkaGroups(self._admin)
        self._offsets_ = KafkaOffsets(stable, undecided, topics, min(timeout, ASK_TIMEOUT_S))
        self._appender = KafkaAppender(self._clients, topics, timeout)

    async def close(self) -> None:
        """Close everything that is still open, readers and members included; all of them, even if
        closing one raises.
        """
        async with AsyncExitStack() as ends:
            for part in (self._admin, self._offsets_, self._appender):
                if part is not None:
                    ends.push_async_callback(part.close)
            for consumer in self._consumers:
                ends.push_async_callback(consumer.close)
            ends.push_async_callback(self._clients.close)
        self._admin = self._topics_ = self._groups_ = None
        self._offsets_ = self._appender = None

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        await self._topics.create(specs)

    async def topics(self) -> Mapping[str, TopicInfo]:
        return await self._topics.topics()

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """One batch goes as it is, since it is atomic; several go in a transaction."""
        if self._appender is None:
            raise RetryLater(f"{self.name} is not open")
        await self._appender.append(topic, entries)

    async def producer(self, transactional_id: str) -> KafkaProducer:
        """Take over a transactional id; the broker ends the old owner's open transaction."""
        return await take_over(
            self._clients, transactional_id, TRANSACTION_TIMEOUT_MS, self._topics.partitions
        )

    async def join(
        self,
        group: str,
        topics: Iterable[str],
        rebalance: Rebalance | None = None,
        *,
        session_timeout: float = 10.0,
    ) -> KafkaConsumer:
        """Become a member of `group`; the broker limits the session's length."""
        wanted = list(topics)
        for topic in wanted:
            await self._topics.partitions(topic)
        client = self._clients.consumer(
            group,
            session_timeout_ms=int(session_timeout * 1000),
            heartbeat_interval_ms=max(1, int(session_timeout * 1000 / 4)),
            rebalance_timeout_ms=int(max(session_timeout, REBALANCE_TIMEOUT_S) * 1000),
            # A member whose handlers take long stays one.
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        )

        async def starts(
            partitions: frozenset[TopicPartition],
        ) -> Mapping[TopicPartition, int]:
            committed = await self._groups.committed(group, partitions)
            new = [partition for partition, at in committed.items() if at is None]
            return {
                **{partition: at for partition, at in committed.items() if at is not None},
                **await self.beginning_offsets(new),
            }

        membership = KafkaMembership(rebalance)
        consumer = KafkaConsumer(
            client,
            f"group {group}",
            membership,
            starts,
            self._consumers.discard,
            group=group,
            begins=self.beginning_offsets,
        )
        await self._clients.start(client, f"group {group}")
        client.subscribe(wanted, listener=membership)
        self._consumers.add(consumer)
        return consumer

    async def reader(
        self, offsets: Mapping[TopicPartition, int], *, report_removed: bool = False
    ) -> KafkaConsumer:
        for partition in offsets:
            await self._offsets.check_partition(partition)
        client = self._clients.consumer(None)
        await self._clients.start(client, "reader")
        client.assign([aiokafka.TopicPartition(*topic_partition) for topic_partition in offsets])
        begins = self.beginning_offsets if report_removed else None
        consumer = KafkaConsumer(client, "reader", forget=self._consumers.discard, begins=begins)
        for topic_partition, at in offsets.items():
            consumer.start(topic_partition, at)
        self._consumers.add(consumer)
        return consumer

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return await self._offsets.beginning_offsets(partitions)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The last stable offsets: `read_committed` readers get no further."""
        return await self._offsets.end_offsets(partitions)

    async def high_watermarks(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The brokers' high watermarks, undecided records included."""
        return await self._offsets.high_watermarks(partitions)

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], timestamp: int
    ) -> Mapping[TopicPartition, int]:
        return await self._offsets.offsets_at(partitions, timestamp)

    async def groups(self) -> Mapping[str, GroupInfo]:
        return await self._groups.groups()

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        return await self._groups.committed(group, partitions)

    async def delete_group(self, group: str) -> None:
        """As the port says; the broker refuses while it has members."""
        await self._groups.delete_group(group)

    async def reset_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets by hand; the broker, too, refuses while it has members."""
        members = await self._groups.members(group)
        if members:
            raise Rejected(
                "group_in_use",
                f"group {group} has {len(members)} live member(s): stop them, then reset its "
                "offsets",
            )
        places = {
            aiokafka.TopicPartition(*topic_partition): at for topic_partition, at in offsets.items()
        }
        for partition in offsets:
            await self._offsets.check_partition(partition)
        if not places:
            return
        client = self._clients.consumer(group)
        await self._clients.start(client, f"group {group}")
        try:
            client.assign(list(places))
            with translated_errors(f"group {group}: reset of offsets"):
                await client.commit(places)
        finally:
            await internals.stop(client)

    async def check_servers(self, topics: Sequence[str]) -> list[LogFinding]:
        """Which cluster each server belongs to, and whether its brokers can be reached."""
        findings, self._rights = await server_findings(self._settings, topics)
        return findings

    async def check_needs(self, specs: Sequence[TopicSpec], bridge: str) -> list[LogFinding]:
        """See the port. Opens a producer, as running does, and writes nothing with it."""
        user = f"user {self._settings.security.username or '(no login)'}"
        findings = [*rights_findings(self._rights, user)]
        readable = {name for name, rights in self._rights.items() if not rights.missing}
        try:
            findings += settings_findings(await self._topics.settings(readable), self._rights)
            refused = await self._topics.refusals(specs)
            findings += [LogFinding(why) for _, why in sorted(refused.items())]
            operations = await self._groups.group_operations(f"{bridge}.check")
            if missing := missing_operations(operations, (READ, DESCRIBE)):
                findings.append(
                    LogFinding(
                        f"{user} does not have {', '.join(missing)} on consumer groups {bridge}.…",
                        f"grant Describe and Read on groups with the prefix {bridge}.",
                    )
                )
        except ConfigurationError as error:
            findings.append(LogFinding(str(error)))
        for name, transaction_ms in (
            (f"{bridge}.check", TRANSACTION_TIMEOUT_MS),
            (f"{APPEND_PREFIX}check", APPEND_TIMEOUT_MS),
        ):
            try:
                await (
                    await take_over(self._clients, name, transaction_ms, self._topics.partitions)
                ).close()
            except ConfigurationError as error:
                findings.append(LogFinding(str(error)))
        return findings

    async def authorizer(self, topic: str) -> Authorizer:
        """See the port."""
        return await self._topics.authorizer(topic)

    @property
    def _topics(self) -> KafkaTopics:
        if self._topics_ is None:
            raise RetryLater(f"{self.name} is not open")
        return self._topics_

    @property
    def _groups(self) -> KafkaGroups:
        if self._groups_ is None:
            raise RetryLater(f"{self.name} is not open")
        return self._groups_

    @property
    def _offsets(self) -> KafkaOffsets:
        if self._offsets_ is None:
            raise RetryLater(f"{self.name} is not open")
        return self._offsets_
