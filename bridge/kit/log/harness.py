"""What all parts of the suite share: the opened log, topics, reading until something holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
import pytest_asyncio

from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Consumer, Log, Record, TopicPartition, TopicSpec
from bridge.log.read_to_end import read_to_end

WAIT_TIMEOUT_S = 60.0
"""Seconds after which something that should have come isn't expected any more: the machine may be
busy with much else.
"""


class LogHarness:
    """Fixtures. `under_test` is the one that a subclass has to define."""

    @pytest.fixture
    def under_test(self) -> LogUnderTest:
        """The log that the suite runs against."""
        raise NotImplementedError("define the fixture `under_test` in your subclass of LogSuite")

    @pytest_asyncio.fixture
    async def log(self, under_test: LogUnderTest) -> AsyncIterator[Log]:
        """An opened client of it."""
        log = under_test.make()
        await log.open()
        yield log
        await log.close()


async def topic(log: Log, name: str, partitions: int = 1) -> str:
    """A topic that keeps everything."""
    await log.create_topics([TopicSpec(name, partitions=partitions)])
    return name


def from_beginning(topic: str, partitions: int = 1) -> dict[TopicPartition, int]:
    """Every partition from its beginning."""
    return {TopicPartition(topic, number): 0 for number in range(partitions)}


async def read_until(
    consumer: Consumer,
    enough: Callable[[list[Record]], bool],
    *,
    limit: int = 1000,
    patience: float = WAIT_TIMEOUT_S,
) -> list[Record]:
    """Read on until `enough` holds of all that came. Fails when it doesn't within `patience`."""
    records: list[Record] = []
    end = time.monotonic() + patience
    while not enough(records):
        left = end - time.monotonic()
        if left <= 0:
            pytest.fail(
                f"after {patience} s there are still only {len(records)} records: {records[-3:]}"
            )
        records += await consumer.read(limit, min(left, 1.0))
    return records


async def read_count(
    consumer: Consumer, count: int, *, patience: float = WAIT_TIMEOUT_S
) -> list[Record]:
    """Exactly `count` records: waits until they are there, fails when there are more."""
    received = await read_until(consumer, lambda records: len(records) >= count, patience=patience)
    assert len(received) == count, [record.value for record in received]
    return received


async def read_all(log: Log, partitions: Iterable[TopicPartition]) -> list[Record]:
    """Everything that a `read_committed` reader can reach now, each partition in its order."""
    starts = await log.beginning_offsets(partitions)
    batches = read_to_end(log, starts, limit=5000)
    return [record async for records in batches for record in records]


async def assigned_to(consumer: Consumer, count: int, *, patience: float = WAIT_TIMEOUT_S) -> None:
    """Read (and drop) until the member has `count` partitions."""
    end = time.monotonic() + patience
    while len(consumer.assignment()) != count:
        if time.monotonic() > end:
            pytest.fail(f"after {patience} s the member has {consumer.assignment()}, not {count}")
        await consumer.read(1000, 0.1)


async def share(
    consumers: Iterable[Consumer], total: int, *, patience: float = WAIT_TIMEOUT_S
) -> None:
    """Read (and drop) with all members until they share `total` partitions, none without one."""
    members = list(consumers)
    end = time.monotonic() + patience
    while True:
        held = [consumer.assignment() for consumer in members]
        if all(held) and sum(map(len, held)) == total == len(frozenset().union(*held)):
            return
        if time.monotonic() > end:
            pytest.fail(f"after {patience} s the members hold {held}, of {total} partitions")
        await asyncio.gather(*(consumer.read(1000, 0.1) for consumer in members))


def offsets_after(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """The offsets to commit once these records are done."""
    offsets: dict[TopicPartition, int] = {}
    for record in records:
        partition = TopicPartition(record.topic, record.partition)
        offsets[partition] = max(offsets.get(partition, 0), record.offset + 1)
    return offsets
