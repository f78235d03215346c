"""A broker that is away, comes back, hangs or says no."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bridge.log.kafka import KafkaLog, KafkaSettings
from bridge.log.port import Entry, Record, RecordTooLarge, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError, OutcomeUnknown, Rejected, RetryLater
from tests.conftest import PrivateKafka
from tests.services.ports import free_ports
from tests.waiting import WAIT_TIMEOUT_S

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

GIVES_UP = 12.0
"""Seconds after which a log gives up where a test waits for that, and long enough for what has to
succeed besides.
"""
gives_up = pytest.mark.parametrize("log", [GIVES_UP], indirect=True)


@pytest.fixture
def name() -> str:
    return f"fail{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def mortal(module_kafka: PrivateKafka) -> "Kafka":
    """A broker for tests that kill it: one after the other, as starting costs."""
    return module_kafka()


@pytest.fixture
def away(mortal: "Kafka") -> "Kafka":
    """A broker that the test may kill."""
    mortal.start()
    return mortal


@pytest.fixture(params=[60.0])
async def log(request: pytest.FixtureRequest, away: "Kafka", name: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(KafkaSettings((away.bootstrap,), partitions=1, timeout=request.param))
    await log.open()
    await log.create_topics([TopicSpec(name)])
    yield log
    await log.close()


async def values(log: KafkaLog, topic: str) -> list[bytes | None]:
    partition = TopicPartition(topic, 0)
    end = (await log.end_offsets([partition]))[partition]
    reader = await log.reader({partition: 0})
    records: list[Record] = []
    while reader.position(partition) < end:
        records += await reader.read(1000, 1.0)
    await reader.close()
    return [record.value for record in records]


async def test_a_broker_that_is_away_at_the_start_is_named_at_once() -> None:
    first, second = free_ports(2)
    log = KafkaLog(KafkaSettings((f"127.0.0.1:{first}", f"127.0.0.1:{second}")))
    began = time.monotonic()
    with pytest.raises(RetryLater, match=f"no Kafka server answers: 127.0.0.1:{first}: .*{second}"):
        await log.open()
    assert time.monotonic() - began < 20  # of the 60 of a time-out


async def test_one_server_of_the_list_is_enough(kafka: "Kafka") -> None:
    [nobody] = free_ports(1)
    log = KafkaLog(KafkaSettings((f"127.0.0.1:{nobody}", kafka.bootstrap)))
    await log.open()
    assert await log.topics() is not None
    await log.close()


@pytest.mark.slow
async def test_a_broker_that_was_killed_and_is_back_is_only_a_wait(
    log: KafkaLog, away: "Kafka", name: str
) -> None:
    producer = await log.producer(name)
    for restart in range(2):
        async with producer.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", b"%d a" % restart)])
            away.kill()
            back = asyncio.create_task(asyncio.to_thread(away.start))
            await transaction.append(name, [Entry(b"k", b"%d b" % restart)])
            await back
    await producer.close()

    assert await values(log, name) == [b"%d %c" % (at, c) for at in range(2) for c in b"ab"]


async def test_readers_and_members_go_on_when_the_broker_is_back(
    log: KafkaLog, away: "Kafka", name: str
) -> None:
    reader = await log.reader({TopicPartition(name, 0): 0})
    member = await log.join(name, [name])
    await log.append(name, [Entry(b"k", b"before")])
    for consumer in (reader, member):
        while not await consumer.read(10, 1.0):
            pass
    await asyncio.to_thread(away.kill)
    assert await reader.read(10, 0.5) == []
    await asyncio.to_thread(away.start)

    await log.append(name, [Entry(b"k", b"after")])
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        for consumer in (reader, member):
            records: list[Record] = []
            while b"after" not in [record.value for record in records]:
                records += await consumer.read(10, 1.0)


@gives_up
async def test_a_commit_without_an_answer_is_an_unknown_outcome_that_a_new_producer_settles(
    log: KafkaLog, away: "Kafka", name: str
) -> None:
    producer = await log.producer(name)

    async def write() -> None:
        async with producer.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", b"1"), Entry(b"k", b"2")])
            await asyncio.gather(*transaction.deliveries)
            hang(away)

    with pytest.raises(OutcomeUnknown, match="open a new producer"):
        await write()
    with pytest.raises(OutcomeUnknown, match="open a new producer"):
        async with producer.transaction():
            pass
    go_on(away)
    await producer.close()

    successor = await log.producer(name)
    seen = await values(log, name)
    async with successor.transaction() as transaction:
        await transaction.append(name, [Entry(b"k", b"3")])
    await successor.close()

    assert seen in ([], [b"1", b"2"])
    assert await values(log, name) == [*seen, b"3"]


async def test_who_is_cancelled_while_waiting_for_a_commit_under_way_leaves_it_alone(
    log: KafkaLog, away: "Kafka", name: str
) -> None:
    producer = await log.producer(name)
    committing = asyncio.Event()

    async def write(value: bytes) -> None:
        async with producer.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", value)])
            await asyncio.gather(*transaction.deliveries)
            if value == b"1":
                hang(away)
                committing.set()

    first = asyncio.create_task(write(b"1"))
    await committing.wait()
    for waiting in (first, asyncio.create_task(write(b"2")), asyncio.create_task(write(b"3"))):
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    go_on(away)
    await write(b"4")
    await producer.close()
    assert await values(log, name) == [b"1", b"4"]


def hang(broker: "Kafka") -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)


def go_on(broker: "Kafka") -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGCONT)


@pytest.mark.slow
@gives_up
async def test_nothing_that_was_given_up_is_written_later(
    log: KafkaLog, away: "Kafka", name: str
) -> None:
    """The caller has been told, and acts upon it."""
    await log.append(name, [Entry(b"k", b"first")])
    await asyncio.to_thread(away.kill)
    with pytest.raises(OutcomeUnknown, match=f"append to {name}"):
        await log.append(name, [Entry(b"k", b"given up")])
    await asyncio.to_thread(away.start)
    await log.append(name, [Entry(b"k", b"second")])

    assert await values(log, name) == [b"first", b"second"]


@pytest.mark.slow
@gives_up
async def test_what_needs_the_broker_says_so_while_it_is_away(
    log: KafkaLog, away: "Kafka", name: str
) -> None:
    await asyncio.to_thread(away.kill)
    began = time.monotonic()
    for call in (
        log.topics(),
        log.producer("other"),
        log.end_offsets([TopicPartition(name, 0)]),
        log.committed("group", [TopicPartition(name, 0)]),
    ):
        with pytest.raises(RetryLater):
            await call
    assert time.monotonic() - began < 8 * GIVES_UP


async def test_closing_does_not_wait_for_a_broker_that_is_away(
    log: KafkaLog, away: "Kafka", name: str
) -> None:
    producer = await log.producer(name)
    member = await log.join(name, [name])
    await member.read(10, 1.0)
    await log.reader({TopicPartition(name, 0): 0})
    await asyncio.to_thread(away.kill)
    began = time.monotonic()
    await producer.close()
    await log.close()
    assert time.monotonic() - began < 20  # of the 60 of a time-out


async def test_a_producer_that_is_closed_says_so(kafka: "Kafka", name: str) -> None:
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), partitions=1))
    await log.open()
    producer = await log.producer(name)
    await producer.close()
    await producer.close()
    with pytest.raises(RetryLater, match="is closed"):
        async with producer.transaction():
            pass
    await log.close()
    with pytest.raises(RetryLater, match="is not open"):
        await log.topics()


async def test_more_copies_than_brokers_is_a_configuration_error(kafka: "Kafka", name: str) -> None:
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), replication=3))
    await log.open()
    with pytest.raises(ConfigurationError, match=r"set replication to at most the number of brok"):
        await log.create_topics([TopicSpec(name)])
    await log.close()


async def test_a_session_that_the_broker_does_not_allow_is_a_configuration_error(
    kafka: "Kafka", name: str
) -> None:
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), partitions=1))
    await log.open()
    await log.create_topics([TopicSpec(name)])
    member = await log.join(name, [name], session_timeout=0.1)
    with pytest.raises(ConfigurationError, match=r"group\.min\.session\.timeout\.ms"):
        await member.read(1, 30.0)
    await log.close()


async def test_very_many_headers_are_refused_like_a_large_value(kafka: "Kafka", name: str) -> None:
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), partitions=1))
    await log.open()
    await log.create_topics([TopicSpec(name)])
    large = [("h", bytes(200_000))] * 6
    many = [(f"h{at}", b"") for at in range(300_000)]
    for headers in (large, many):
        with pytest.raises(RecordTooLarge, match=name):
            await log.append(name, [Entry(b"k", b"1"), Entry(b"k", b"v", headers)])
    producer = await log.producer(name)

    async def swallow() -> None:
        async with producer.transaction() as transaction:
            with suppress(RecordTooLarge):
                await transaction.append(name, [Entry(b"k", b"1"), Entry(b"k", b"v", large)])

    with pytest.raises(RecordTooLarge):
        await swallow()
    await producer.close()
    assert await values(log, name) == []
    await log.close()


async def test_a_partition_that_is_not_there_is_refused(kafka: "Kafka", name: str) -> None:
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), partitions=2))
    await log.open()
    await log.create_topics([TopicSpec(name)])
    with pytest.raises(Rejected, match="no partition 2"):
        await log.append(name, [Entry(b"k", b"v", partition=2)])
    with pytest.raises(Rejected, match="no partition 7"):
        await log.reader({TopicPartition(name, 7): 0})
    await log.close()


async def test_one_transaction_may_commit_for_several_groups(kafka: "Kafka", name: str) -> None:
    """aiokafka knows one; a broker would refuse the second's offsets."""
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), partitions=1))
    await log.open()
    await log.create_topics([TopicSpec(name)])
    partition = TopicPartition(name, 0)
    producer = await log.producer(name)
    for at in (1, 2):
        async with producer.transaction() as transaction:
            for group in "abc":
                transaction.commit_offsets(f"{name}.{group}", {partition: at})
    await producer.close()

    for group in "abc":
        assert await log.committed(f"{name}.{group}", [partition]) == {partition: 2}
    await log.close()


async def test_records_from_the_future_are_taken(kafka: "Kafka", name: str) -> None:
    """A legacy system's clock is not ours to judge; brokers refuse an hour ahead by default."""
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), partitions=1))
    await log.open()
    await log.create_topics([TopicSpec(name)])
    future = int(time.time() * 1000) + 7 * 86_400_000
    await log.append(name, [Entry(b"k", b"v", (), future)])
    assert await values(log, name) == [b"v"]
    await log.close()


async def test_a_topic_that_takes_smaller_records_than_ours_says_what_to_set(
    kafka: "Kafka", name: str
) -> None:
    """One that somebody else made, or has changed since."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "10000"})])
    await admin.close()
    log = KafkaLog(KafkaSettings((kafka.bootstrap,), partitions=1))
    await log.open()
    large = [Entry(b"k", bytes(100_000))]
    with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes to 1048588"):
        await log.append(name, large)
    producer = await log.producer(name)
    with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes to 1048588"):
        async with producer.transaction() as transaction:
            await transaction.append(name, large)
    await producer.close()
    assert await values(log, name) == []
    await log.close()
