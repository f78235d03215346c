"""Apache Kafka as the event log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bridge.log.check_port import Authorizer, LogFinding
from bridge.log.kafka import internals
from bridge.log.kafka.admin import ASK_TIMEOUT_S, KafkaAdmin
from bridge.log.kafka.batches import RecordBatch, batches
from bridge.log.kafka.check import (
    check_one_cluster,
    rights_findings,
    server_findings,
    settings_findings,
)
from bridge.log.kafka.consumer import KafkaConsumer
from bridge.log.kafka.errors import translate, translated_errors
from bridge.log.kafka.first_connection import check_connection
from bridge.log.kafka.membership import KafkaMembership
from bridge.log.kafka.metadata import DESCRIBE, READ, TopicRights, missing_operations
from bridge.log.kafka.password import CurrentPassword
from bridge.log.kafka.producer import KafkaProducer
from bridge.log.kafka.settings import (
    BACKOFF_MS,
    MAX_BATCH_BYTES,
    MAX_RECORD_BYTES,
    KafkaSettings,
    client_arguments,
)
from bridge.log.port import Entry, GroupInfo, Rebalance, TopicInfo, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError, OutcomeUnknown, Rejected, RetryLater

#: Milliseconds that the broker keeps a transaction open whose owner says nothing.
TRANSACTION_TIMEOUT_MS: Final = 60_000
#: The same for an append of several batches: nobody takes over its id, so readers wait for this.
APPEND_TIMEOUT_MS: Final = 15_000
#: Of the transactional ids of such appends.
APPEND_PREFIX: Final = "legacy-bridge-append-"
#: Seconds that a rebalance waits for members that are busy.
REBALANCE_TIMEOUT_S: Final = 30.0
#: Seconds in which a commit's markers are written.
MARKERS_TIMEOUT_S: Final = 0.25
MAX_POLL_INTERVAL_MS: Final = 86_400_000


class KafkaLog:
    """The event log in a Kafka cluster; see `bridge.log.port.Log`.

    Each producer and each consumer has connections of its own, as the protocol wants it.
    """

    def __init__(
        self, settings: KafkaSettings, read_password: Callable[[], str] | None = None
    ) -> None:
        self._settings = settings
        self._password: CurrentPassword | None = None
        if settings.security.logs_in and read_password is not None:
            self._password = CurrentPassword(settings.security.username, read_password)
        self._arguments: dict[str, Any] = {}
        self._admin_: KafkaAdmin | None = None
        self._offsets_: aiokafka.AIOKafkaConsumer | None = None
        self._undecided_: aiokafka.AIOKafkaConsumer | None = None
        self._appender: aiokafka.AIOKafkaProducer | None = None
        self._bulk: KafkaProducer | None = None
        self._appending = asyncio.Lock()
        self._consumers: set[KafkaConsumer] = set()
        self._rights: Mapping[str, TopicRights] = {}

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def max_record_bytes(self) -> int:
        return MAX_RECORD_BYTES

    async def open(self) -> None:
        """Connect. Raises RetryLater when no server answers, ConfigurationError as it says."""
        self._arguments = client_arguments(self._settings)
        await check_connection(self._settings, self._arguments)
        await check_one_cluster(self._settings, self._arguments)
        client = AIOKafkaAdminClient(**self._arguments, request_timeout_ms=self._timeout_ms)
        offsets = self._consumer(None)
        undecided = self._consumer(None, isolation_level="read_uncommitted")
        with translated_errors(self.name):
            try:
                await client.start()
                await offsets.start()
                await undecided.start()
            except BaseException:
                await client.close()
                await internals.stop(offsets)
                await internals.stop(undecided)
                raise
        if self._password is not None:
            self._password.add(client)
            self._password.start(self._arguments)
        self._admin_ = KafkaAdmin(client, self._settings)
        self._offsets_ = offsets
        self._undecided_ = undecided

    async def close(self) -> None:
        """Close everything that is still open, readers and members included; each of them, whatever
        the end of another one raises.
        """
        async with AsyncExitStack() as ends:
            if self._admin_ is not None:
                ends.push_async_callback(self._admin_.close)
            for client in (self._undecided_, self._offsets_):
                if client is not None:
                    ends.push_async_callback(internals.stop, client)
            if self._appender is not None:
                ends.push_async_callback(internals.kill, self._appender)
            if self._bulk is not None:
                ends.push_async_callback(self._bulk.close)
            for consumer in self._consumers:
                ends.push_async_callback(consumer.close)
            if self._password is not None:
                ends.push_async_callback(self._password.stop)
        self._bulk = self._appender = None
        self._offsets_ = self._undecided_ = self._admin_ = None

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        await self._admin.create(specs)

    async def topics(self) -> Mapping[str, TopicInfo]:
        return await self._admin.topics()

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """One batch goes as it is, since it is atomic; several go in a transaction."""
        count = await self._admin.partitions(topic)
        full = batches(topic, entries, count, transactional=False)
        if len(full) == 1:
            await self._send(await self._plain_producer(), topic, full[0])
        elif full:
            async with self._appending:
                bulk = await self._bulk_producer()
                async with bulk.transaction() as transaction:
                    await transaction.append(topic, entries)

    async def producer(self, transactional_id: str) -> KafkaProducer:
        """Take over a transactional id; the broker ends the old owner's open transaction."""
        return await self._producer(transactional_id, TRANSACTION_TIMEOUT_MS)

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
            await self._admin.partitions(topic)
        client = self._consumer(
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
            committed = await self._admin.committed(group, partitions)
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
        await self._start(client, f"group {group}")
        client.subscribe(wanted, listener=membership)
        self._consumers.add(consumer)
        return consumer

    async def reader(self, offsets: Mapping[TopicPartition, int]) -> KafkaConsumer:
        for partition in offsets:
            await self._check_partition(partition)
        client = self._consumer(None)
        await self._start(client, "reader")
        client.assign([aiokafka.TopicPartition(*topic_partition) for topic_partition in offsets])
        consumer = KafkaConsumer(client, "reader", forget=self._consumers.discard)
        for topic_partition, at in offsets.items():
            consumer.start(topic_partition, at)
        self._consumers.add(consumer)
        return consumer

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        places = await self._places(partitions)
        async with self._answering("first offsets"):
            offsets = await self._offsets.beginning_offsets(places)
        return {TopicPartition(*partition): at for partition, at in offsets.items()}

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The last stable offsets: `read_committed` readers get no further.

        Kafka answers a commit before its markers are written, so what is undecided now is waited
        for, MARKERS_TIMEOUT_S seconds at most: then it belongs to a transaction that is really open.
        """
        places = await self._places(partitions)
        async with self._answering("last offsets"):
            undecided = await self._undecided.end_offsets(places)
            stable_ends = await self._offsets.end_offsets(places)
            loop = asyncio.get_running_loop()
            deadline = loop.time() + MARKERS_TIMEOUT_S
            while behind := [
                partition for partition in places if stable_ends[partition] < undecided[partition]
            ]:
                if loop.time() > deadline:
                    break
                await asyncio.sleep(0.002)
                stable_ends = {**stable_ends, **await self._offsets.end_offsets(behind)}
        return {TopicPartition(*partition): at for partition, at in stable_ends.items()}

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], timestamp: int
    ) -> Mapping[TopicPartition, int]:
        places = await self._places(partitions)
        # First: what is committed in between must be in the one or the other.
        ends = await self.end_offsets([TopicPartition(*partition) for partition in places])
        async with self._answering("offsets by time"):
            offsets_by_time = await self._offsets.offsets_for_times(
                dict.fromkeys(places, max(timestamp, 0))
            )
        offsets = {
            TopicPartition(*partition): at.offset
            for partition, at in offsets_by_time.items()
            if at is not None
        }
        return {**ends, **offsets}

    async def groups(self) -> Mapping[str, GroupInfo]:
        return await self._admin.groups()

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        return await self._admin.committed(group, partitions)

    async def delete_group(self, group: str) -> None:
        """As the port says; the broker refuses while it has members."""
        await self._admin.delete_group(group)

    async def reset_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets by hand; the broker, too, refuses while it has members."""
        members = await self._admin.members(group)
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
            await self._check_partition(partition)
        if not places:
            return
        client = self._consumer(group)
        await self._start(client, f"group {group}")
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
            findings += settings_findings(await self._admin.settings(readable), self._rights)
            refused = await self._admin.refusals(specs)
            findings += [LogFinding(why) for _, why in sorted(refused.items())]
            operations = await self._admin.group_operations(f"{bridge}.check")
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
                await (await self._producer(name, transaction_ms)).close()
            except ConfigurationError as error:
                findings.append(LogFinding(str(error)))
        return findings

    async def authorizer(self, topic: str) -> Authorizer:
        """See the port."""
        return await self._admin.authorizer(topic)

    @asynccontextmanager
    async def _answering(self, doing: str) -> AsyncIterator[None]:
        """A question that the broker answers in time, or RetryLater."""
        with translated_errors(doing):
            async with asyncio.timeout(min(self._settings.timeout, ASK_TIMEOUT_S)):
                yield

    @property
    def _timeout_ms(self) -> int:
        return int(self._settings.timeout * 1000)

    @property
    def _admin(self) -> KafkaAdmin:
        if self._admin_ is None:
            raise RetryLater(f"{self.name} is not open")
        return self._admin_

    @property
    def _offsets(self) -> aiokafka.AIOKafkaConsumer:
        if self._offsets_ is None:
            raise RetryLater(f"{self.name} is not open")
        return self._offsets_

    @property
    def _undecided(self) -> aiokafka.AIOKafkaConsumer:
        if self._undecided_ is None:
            raise RetryLater(f"{self.name} is not open")
        return self._undecided_

    def _consumer(self, group: str | None, **arguments: Any) -> aiokafka.AIOKafkaConsumer:
        client = aiokafka.AIOKafkaConsumer(
            **{"isolation_level": "read_committed", **self._arguments, **arguments},
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            # A request that waits for data holds up seeks and resumed partitions.
            fetch_max_wait_ms=100,
            fetch_max_bytes=16 * 1024 * 1024,
            # Longer than a rebalance, whose answer the broker holds back.
            request_timeout_ms=int(max(self._settings.timeout, REBALANCE_TIMEOUT_S + 10) * 1000),
            metadata_max_age_ms=30_000,
        )
        self._follow_password(client)
        return client

    def _follow_password(self, client: Any) -> None:
        if self._password is not None:
            self._password.add(client)

    def _new_producer(self, **arguments: Any) -> aiokafka.AIOKafkaProducer:
        client = aiokafka.AIOKafkaProducer(
            **self._arguments,
            **arguments,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_BATCH_BYTES,
            request_timeout_ms=self._timeout_ms,
        )
        self._follow_password(client)
        return internals.forgiving(client)

    async def _producer(self, transactional_id: str, transaction_ms: int) -> KafkaProducer:
        client = self._new_producer(
            transactional_id=transactional_id,
            transaction_timeout_ms=transaction_ms,
            retry_backoff_ms=BACKOFF_MS,
        )
        await self._start(client, f"producer {transactional_id}")
        return KafkaProducer(
            client, transactional_id, self._admin.partitions, self._settings.timeout
        )

    async def _start(self, client: Any, doing: str) -> None:
        with translated_errors(doing):
            try:
                async with asyncio.timeout(self._settings.timeout):
                    await client.start()
            except BaseException:
                if isinstance(client, aiokafka.AIOKafkaProducer):
                    await internals.kill(client)
                else:
                    await internals.stop(client)
                raise

    async def _plain_producer(self) -> aiokafka.AIOKafkaProducer:
        async with self._appending:
            if self._appender is not None and internals.is_dead(self._appender):
                await self._give_up(self._appender)
            if self._appender is None:
                client = self._new_producer(enable_idempotence=True)
                await self._start(client, "append")
                self._appender = client
            return self._appender

    async def _give_up(self, producer: aiokafka.AIOKafkaProducer) -> None:
        """What it still holds must not be written later."""
        if self._appender is producer:
            self._appender = None
        await internals.kill(producer)

    async def _bulk_producer(self) -> KafkaProducer:
        if self._bulk is None or self._bulk.is_dead:
            self._bulk = await self._producer(f"{APPEND_PREFIX}{uuid4()}", APPEND_TIMEOUT_MS)
        return self._bulk

    async def _send(
        self, producer: aiokafka.AIOKafkaProducer, topic: str, batch: RecordBatch
    ) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout):
                await (await producer.send_batch(batch, topic, partition=batch.partition))
        except TimeoutError as error:
            await self._give_up(producer)
            raise OutcomeUnknown(
                f"append to {topic}: the broker did not answer within "
                f"{self._settings.timeout:g} s, so it may or may not be there"
            ) from error
        except KafkaError as error:
            await self._give_up(producer)
            raise translate(error, f"append to {topic}") from error

    async def _check_partition(self, partition: TopicPartition) -> None:
        count = await self._admin.partitions(partition.topic)
        if not 0 <= partition.partition < count:
            raise Rejected(
                "no_such_partition",
                f"topic {partition.topic} has no partition {partition.partition}: it has {count}",
            )

    async def _places(self, partitions: Iterable[TopicPartition]) -> list[aiokafka.TopicPartition]:
        wanted = list(partitions)
        for partition in wanted:
            await self._check_partition(partition)
        return [aiokafka.TopicPartition(*topic_partition) for topic_partition in wanted]
