"""The follower of change topics: against a plain loop of reads over the same records."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.embedded import PARTITIONS, RECORDS, STEP, entry
from benchmarks.results import Results
from bridge.gateway.follower import TopicFollower
from bridge.gateway.follower.topic_follower import RECORDS_PER_READ
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import from_url
from bridge.log.port import Gap, Log, Record, TopicPartition, TopicSpec
from tests.services import provide

TOPIC = "follower_benchmark"
ROUNDS = 3


class CountedRecords:
    """Counts what is applied, as plain reads do."""

    def __init__(self) -> None:
        self.count = 0

    async def prepare(self, records: Sequence[Record]) -> None:
        """Counting needs nothing."""

    def apply(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        del partition
        self.count += len(records)

    def reach(self, positions: Mapping[TopicPartition, int]) -> None:
        """The follower knows its positions."""

    def doubt(self, partition: TopicPartition, gap: Gap) -> None:
        raise AssertionError((partition, gap))


def main() -> None:
    """Both logs, the same records; the best of three rounds of each, in turns."""
    results = Results("follower")
    gc.collect()
    gc.freeze()
    try:
        with tempfile.TemporaryDirectory() as folder:
            rates = {"embedded": asyncio.run(measure(EmbeddedLog(Path(folder) / "log.db")))}
        with provide.kafka() as broker:
            rates["kafka"] = asyncio.run(measure(from_url(f"kafka://{broker.bootstrap}")))
    finally:
        gc.unfreeze()
    for log, (plain, followed) in rates.items():
        results.add(f"plain reads: {log}", plain, "records/s")
        results.add(f"follower: {log}", followed, "records/s", "plain reads", followed / plain)


async def measure(log: Log) -> tuple[float, float]:
    """Records per second of plain reads and of the follower."""
    await log.open()
    await log.create_topics([TopicSpec(TOPIC, partitions=PARTITIONS)])
    producer = await log.producer("benchmark")
    for start in range(0, RECORDS, STEP):
        async with producer.transaction() as transaction:
            await transaction.append(TOPIC, [entry(at) for at in range(start, start + STEP)])
    await producer.close()
    plain, followed = [], []
    for _ in range(ROUNDS):
        plain.append(await plain_reads(log))
        followed.append(await follow(log))
    await log.close()
    return RECORDS / min(plain), RECORDS / min(followed)


async def plain_reads(log: Log) -> float:
    """Seconds, from opening a reader to the last record."""
    begin, count = time.perf_counter(), 0
    reader = await log.reader({TopicPartition(TOPIC, at): 0 for at in range(PARTITIONS)})
    while count < RECORDS:
        count += len(await reader.read(RECORDS_PER_READ, 1))
    seconds = time.perf_counter() - begin
    await reader.close()
    return seconds


async def follow(log: Log) -> float:
    """Seconds, from starting a follower to the high watermarks."""
    watermarks = await log.high_watermarks(TopicPartition(TOPIC, at) for at in range(PARTITIONS))
    applied = CountedRecords()
    begin = time.perf_counter()
    follower = TopicFollower(log, [TOPIC], applied, report=fail)
    running = asyncio.create_task(follower.run())
    await follower.wait_until_reached(watermarks)
    seconds = time.perf_counter() - begin
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert applied.count == RECORDS, applied.count
    return seconds


def fail(failures: int, reason: str) -> None:
    """The log is available here."""
    raise AssertionError((failures, reason))
