"""The follower: everything, in order, once; outages, new topics and removed records."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from bridge.gateway.follower import TopicFollower
from bridge.gateway.follower.followed_topics import topics_of_system
from bridge.gateway.follower.topic_follower import TOPICS_INTERVAL_S
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import from_url
from bridge.log.port import Consumer, Entry, Gap, Log, Record, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError, RetryLater
from tests.conftest import PrivateKafka
from tests.log.half_marked import half_marked
from tests.log.removal import make_again_embedded, remove_embedded, remove_kafka
from tests.waiting import WAIT_TIMEOUT_S, until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka


class AppliedRecords:
    """Keeps what a follower delivers, and checks what every follower promises."""

    def __init__(self) -> None:
        self.values: dict[TopicPartition, list[bytes | None]] = {}
        self.reached: dict[TopicPartition, int] = {}
        self.doubts: list[tuple[TopicPartition, Gap]] = []
        self.prepared: list[Record] = []
        self._next: dict[TopicPartition, int] = {}

    async def prepare(self, records: Sequence[Record]) -> None:
        self.prepared = list(records)

    def apply(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        assert records
        assert all(record in self.prepared for record in records)
        for record in records:
            assert (record.topic, record.partition) == partition
            assert record.offset >= self._next.get(partition, 0)
            self._next[partition] = record.offset + 1
        self.values.setdefault(partition, []).extend(record.value for record in records)

    def reach(self, positions: Mapping[TopicPartition, int]) -> None:
        for partition, position in positions.items():
            assert position >= self._next.get(partition, 0)
        self.reached.update(positions)

    def doubt(self, partition: TopicPartition, gap: Gap) -> None:
        self.doubts.append((partition, gap))
        self._next[partition] = gap.begin


class InterruptedLog:
    """A log that may be away, and whose clock for topics is moved by hand."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.away = False
        self.refused: BaseException | None = None
        self.opened = 0
        self.topic_checks = 0
        self.now = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def clock(self) -> float:
        return self.now

    async def topics(self) -> Any:
        self._check()
        self.topic_checks += 1
        return await self._log.topics()

    async def reader(
        self, offsets: Mapping[TopicPartition, int], *, report_removed: bool = False
    ) -> Consumer:
        self._check()
        self.opened += 1
        reader = await self._log.reader(offsets, report_removed=report_removed)
        plain = reader.read

        async def read(limit: int, timeout: float) -> list[Record]:
            self._check()
            records = await plain(limit, timeout)
            # An answer that is lost after it was given: its records have to come again.
            self._check()
            return records

        reader.read = read  # type: ignore[method-assign]
        return reader

    def _check(self) -> None:
        if self.refused is not None:
            raise self.refused
        if self.away:
            raise RetryLater("the log is away")


class FollowerHarness:
    """A log, a bridge's prefix of topics, and followers."""

    def __init__(
        self,
        log: Log,
        remove: Callable[[TopicPartition, int], Awaitable[None]],
        bootstrap: str = "",
    ) -> None:
        self.log = log
        self.interrupted = InterruptedLog(log)
        self.remove = remove
        self.bootstrap = bootstrap
        self.topic = f"follow{secrets.token_hex(4)}"
        self.applied = AppliedRecords()
        self.failures: list[str] = []

    def report(self, failures: int, reason: str) -> None:
        assert failures >= 1
        self.failures.append(reason)

    async def create(self, topic: str = "", partitions: int = 2) -> list[TopicPartition]:
        await self.log.create_topics([TopicSpec(topic or self.topic, partitions=partitions)])
        return [TopicPartition(topic or self.topic, number) for number in range(partitions)]

    async def append(self, values: Iterable[int], partition: int = 0, topic: str = "") -> None:
        entries = [Entry(b"k", b"%d" % value, (), None, partition) for value in values]
        await self.log.append(topic or self.topic, entries)

    @asynccontextmanager
    async def follow(
        self, *topics: str, starts: Mapping[TopicPartition, int] | None = None
    ) -> AsyncIterator[TopicFollower]:
        follower = TopicFollower(
            self.interrupted,
            topics or [self.topic],
            self.applied,
            report=self.report,
            starts=starts,
            clock=self.interrupted.clock,
        )
        running = asyncio.create_task(follower.run())
        try:
            yield follower
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def catch_up(self, follower: TopicFollower, partitions: Iterable[TopicPartition]) -> None:
        watermarks = await self.log.high_watermarks(partitions)
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await follower.wait_until_reached(watermarks)
        assert follower.reached(watermarks)


@pytest.fixture(params=["embedded", "kafka"])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FollowerHarness]:
    if request.param == "embedded":
        embedded = EmbeddedLog(tmp_path / "log.db")

        async def remove(partition: TopicPartition, before: int) -> None:
            await asyncio.to_thread(remove_embedded, tmp_path / "log.db", partition, before)

        harness = FollowerHarness(embedded, remove)
    else:
        broker: Kafka = request.getfixturevalue("kafka")

        async def remove(partition: TopicPartition, before: int) -> None:
            await remove_kafka(broker.bootstrap, partition, before)

        harness = FollowerHarness(from_url(f"kafka://{broker.bootstrap}"), remove, broker.bootstrap)
    await harness.log.open()
    yield harness
    await harness.log.close()


def numbered(*numbers: int) -> list[bytes | None]:
    return [b"%d" % number for number in numbers]


async def test_everything_is_applied_from_the_given_offsets_on(harness: FollowerHarness) -> None:
    first, second = await harness.create()
    await harness.append(range(10), 0)
    await harness.append(range(5), 1)

    async with harness.follow(starts={first: 7}) as follower:
        await harness.catch_up(follower, [first, second])
        assert harness.applied.values == {first: numbered(7, 8, 9), second: numbered(*range(5))}
        await harness.append([10], 0)
        await harness.catch_up(follower, [first, second])

        assert harness.applied.values[first] == numbered(7, 8, 9, 10)
        assert harness.applied.reached == follower.positions
    assert harness.applied.doubts == []


async def test_high_watermarks_of_what_is_not_followed_are_not_reached(
    harness: FollowerHarness,
) -> None:
    (partition, _) = await harness.create()
    (other,) = await harness.create(f"{harness.topic}.other", 1)
    async with harness.follow() as follower:
        await harness.catch_up(follower, [partition])

        assert not follower.reached({partition: 0, other: 0})
        assert not follower.reached({partition: 1})


async def test_a_topic_that_appears_later_is_followed(harness: FollowerHarness) -> None:
    """Its first records too."""
    later = f"{harness.topic}.later"
    async with harness.follow(later) as follower:
        await until(lambda: harness.interrupted.topic_checks)
        (partition,) = await harness.create(later, 1)
        await harness.append(range(3), topic=later)
        harness.interrupted.now += TOPICS_INTERVAL_S
        await harness.catch_up(follower, [partition])

        assert harness.applied.values == {partition: numbered(0, 1, 2)}


async def test_an_outage_is_reported_and_waited_out(harness: FollowerHarness) -> None:
    """Nothing is missed, nothing comes twice, though an answer was lost."""
    first, second = await harness.create()
    async with harness.follow() as follower:
        await harness.append(range(5), 0)
        await harness.catch_up(follower, [first, second])
        harness.interrupted.away = True
        await harness.append(range(5, 10), 0)
        await until(lambda: len(harness.failures) >= 2)
        positions = follower.positions
        harness.interrupted.away = False
        await harness.catch_up(follower, [first, second])

        assert harness.applied.values == {first: numbered(*range(10))}
        assert positions[first] < follower.positions[first]
        assert harness.interrupted.opened >= 2
    assert set(harness.failures) == {"the log is away"}
    assert harness.applied.doubts == []


async def test_a_follower_resumes_where_another_one_was(harness: FollowerHarness) -> None:
    partitions = await harness.create()
    await harness.append(range(5))
    async with harness.follow() as follower:
        await harness.catch_up(follower, partitions)
    await harness.append(range(5, 8))

    async with harness.follow(starts=follower.positions) as other:
        await harness.catch_up(other, partitions)

    assert harness.applied.values == {partitions[0]: numbered(*range(8))}


async def test_removed_records_are_a_doubt(harness: FollowerHarness) -> None:
    first, second = await harness.create()
    await harness.append(range(10), 0)
    for value in range(10):
        await harness.append([value], 1)
    await harness.remove(second, 6)

    async with harness.follow(starts={first: 0, second: 2}) as follower:
        await harness.catch_up(follower, [first, second])

    assert harness.applied.doubts == [(second, Gap(2, 6))]
    assert harness.applied.values[second] == numbered(6, 7, 8, 9)
    assert harness.applied.values[first] == numbered(*range(10))


async def test_a_topic_that_was_made_again_is_a_doubt_and_read_again(
    harness: FollowerHarness,
) -> None:
    first, second = await harness.create()
    await harness.append(range(3))

    async with harness.follow(starts={first: 100}) as follower:
        await until(lambda: harness.applied.doubts)
        await harness.catch_up(follower, [first, second])

    assert harness.applied.doubts == [(first, Gap(100, 0))]
    assert harness.applied.values == {first: numbered(0, 1, 2)}


async def test_a_topic_that_is_gone_is_a_doubt_until_it_is_back(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    harness = FollowerHarness(log, lambda _partition, _before: asyncio.sleep(0))
    first, second = await harness.create()
    await harness.append(range(3))
    infos = await log.topics()
    gone: set[str] = set()

    async def topics() -> Any:
        return {name: info for name, info in infos.items() if name not in gone}

    harness.interrupted.topics = topics  # type: ignore[method-assign]
    async with harness.follow() as follower:
        await harness.catch_up(follower, [first, second])
        gone.add(harness.topic)
        harness.interrupted.now += TOPICS_INTERVAL_S
        await until(lambda: len(harness.applied.doubts) == 2)
        assert sorted(harness.applied.doubts) == [(first, Gap(3, 0)), (second, Gap(0, 0))]
        assert not follower.reached({first: 0})
        make_again_embedded(tmp_path / "log.db", harness.topic)
        await harness.append([7])
        gone.clear()
        harness.interrupted.now += TOPICS_INTERVAL_S
        await harness.catch_up(follower, [first, second])

    assert harness.applied.values == {first: numbered(0, 1, 2, 7)}
    await log.close()


async def test_a_topic_that_is_deleted_while_it_is_read_is_followed_again(kafka: Kafka) -> None:
    """On a real broker, whose clients learn of it late."""
    log = from_url(f"kafka://{kafka.bootstrap}")
    await log.open()
    harness = FollowerHarness(log, lambda _partition, _before: asyncio.sleep(0))
    first, second = await harness.create()
    await harness.append(range(3))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    async with harness.follow() as follower:
        await harness.catch_up(follower, [first, second])
        await admin.delete_topics([harness.topic])
        await until(lambda: _is_missing(log, harness.topic))
        harness.interrupted.now += TOPICS_INTERVAL_S
        await until(lambda: len(harness.applied.doubts) == 2)
        assert follower.positions == {}
        await harness.create()
        await harness.append([7, 8])
        harness.interrupted.now += TOPICS_INTERVAL_S
        await harness.catch_up(follower, [first, second])

    assert harness.applied.values == {first: numbered(0, 1, 2, 7, 8)}
    await admin.close()
    await log.close()


async def _is_missing(log: Log, topic: str) -> bool:
    return topic not in await log.topics()


async def test_a_topic_that_is_deleted_while_it_is_opened_is_waited_for(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    harness = FollowerHarness(log, lambda _partition, _before: asyncio.sleep(0))
    first, second = await harness.create()
    await harness.append(range(3))
    infos = await log.topics()
    gone: set[str] = set()
    real_reader = harness.interrupted.reader

    async def topics() -> Any:
        return {name: info for name, info in infos.items() if name not in gone}

    async def reader(offsets: Any, *, report_removed: bool = False) -> Consumer:
        del offsets, report_removed
        gone.add(harness.topic)
        harness.interrupted.reader = real_reader  # type: ignore[method-assign]
        raise ConfigurationError("there is no such topic")

    harness.interrupted.topics = topics  # type: ignore[method-assign]
    harness.interrupted.reader = reader  # type: ignore[method-assign]
    async with harness.follow() as follower:
        await until(lambda: gone)
        gone.clear()
        await harness.catch_up(follower, [first, second])

    assert harness.applied.values == {first: numbered(0, 1, 2)}
    await log.close()


async def test_a_broker_that_is_killed_and_comes_back_is_waited_for(
    private_kafka: PrivateKafka,
) -> None:
    broker = private_kafka()
    log = from_url(f"kafka://{broker.bootstrap}")
    await log.open()
    harness = FollowerHarness(log, lambda _partition, _before: asyncio.sleep(0))
    first, second = await harness.create()
    await harness.append(range(3))
    async with harness.follow() as follower:
        await harness.catch_up(follower, [first, second])
        await asyncio.to_thread(broker.kill)
        harness.interrupted.now += TOPICS_INTERVAL_S
        await until(lambda: harness.failures)
        await asyncio.to_thread(broker.start)
        await harness.append(range(3, 6))
        await harness.catch_up(follower, [first, second])

    assert harness.applied.values == {first: numbered(*range(6))}
    assert harness.applied.doubts == []
    await log.close()


async def test_waiting_ends_with_the_follower(harness: FollowerHarness) -> None:
    partitions = await harness.create()
    async with harness.follow() as follower:
        await harness.catch_up(follower, partitions)
        waiting = asyncio.create_task(follower.wait_until_reached({partitions[0]: 5}))
        await asyncio.sleep(0)
    with pytest.raises(RetryLater, match="follower of this system has ended"):
        await waiting


async def test_a_log_that_refuses_ends_the_follower(harness: FollowerHarness) -> None:
    await harness.create()
    harness.interrupted.refused = ConfigurationError("no right to read")
    follower = TopicFollower(
        harness.interrupted,
        [harness.topic],
        harness.applied,
        report=harness.report,
    )
    with pytest.raises(ConfigurationError, match="no right to read"):
        await follower.run()


async def test_a_transaction_is_not_reached_by_half(kafka: Kafka) -> None:
    """Its markers are written to one partition only, then to the other one."""
    log = from_url(f"kafka://{kafka.bootstrap}")
    await log.open()
    harness = FollowerHarness(log, lambda _partition, _before: asyncio.sleep(0))
    async with (
        half_marked(kafka.bootstrap, log, harness.topic) as half,
        harness.follow() as follower,
    ):
        first, second = half.partitions
        await half.mark(0)
        watermarks = await log.high_watermarks(half.partitions)
        stable = await log.end_offsets(half.partitions)
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await follower.wait_until_reached(stable)
        assert harness.applied.values == {first: [b"whole"]}
        assert not follower.reached(watermarks)
        await half.mark(1)
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await follower.wait_until_reached(watermarks)
        assert harness.applied.values == {first: [b"whole"], second: [b"whole"]}
    await log.close()


def test_a_follower_of_a_system_reads_changes_dead_letters_and_checkpoints() -> None:
    assert topics_of_system("acme", "erp", ["order", "customer"]) == {
        "acme.erp.order",
        "acme.erp.customer",
        "acme.dead",
        "_acme.positions",
    }
