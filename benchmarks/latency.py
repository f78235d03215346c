"""From a commit in PostgreSQL to a read_committed consumer: against Kafka's own transactions.

A broker that has just started runs interpreted code: transactions take it three times as long as
half a minute later. So the same load goes by first, unquoted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import aiokafka
import fastavro
import psycopg
from aiokafka.producer import sender
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from benchmarks import orders
from benchmarks.bench import Setting, Worker, checkouts, setting
from benchmarks.results import Results
from bridge.log.kafka.internals import TRANSACTION_BACKOFF_S
from bridge.log.kafka.settings import BACKOFF_MS

WARM = 30
SECONDS = 20
RATES = (500, 2_000)
FLOOR = "a bare transaction of one record"
FLOORS = 1_000
#: Importing it sets aiokafka's back-off as the bridge does.
assert TRANSACTION_BACKOFF_S == sender.BACKOFF_OVERRIDE


def main() -> None:
    """Both rates and the floor, with one bridge; of each checkout in turn."""
    results = Results("latency")
    with setting() as at:
        for label, checkout in checkouts().items():
            measure(at, label, checkout, results)


def measure(at: Setting, label: str, checkout: Path, results: Results) -> None:
    """The floor and both rates, by the code of a checkout."""
    at.renew()
    orders.create(at.url)
    at.sql("create publication bench for table orders")
    at.sql(f"select pg_create_logical_replication_slot('{at.name}', 'pgoutput')")
    with Worker(at, checkout) as worker:
        worker.until("SnapshotProgress", done=True)
        first = 1
        paced(at, first, WARM * RATES[0], RATES[0])
        first += WARM * RATES[0]
        floor = bare(at)
        results.add(f"{FLOOR}, p50", part(floor, 50), "ms")
        results.add(f"{FLOOR}, p99", part(floor, 99), "ms")
        for rate in RATES:
            count = rate * SECONDS
            delays = paced(at, first, count, rate)
            first += count
            for percent in (50, 99):
                value, bound = part(delays, percent), part(floor, percent)
                name = f"{rate:,} changes/s, p{percent}, {label}"
                results.add(name, value, "ms", FLOOR, value / bound)


def part(latencies: list[float], percent: int) -> float:
    """A percentile, in milliseconds."""
    return sorted(latencies)[len(latencies) * percent // 100] * 1000


class Listener:
    """Another process that reads a topic from now on."""

    def __init__(self, at: Setting, topic: str, records: int) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "benchmarks.listener", at.kafka.bootstrap, topic,
                str(records),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the listener did not begin"

    def result(self) -> dict[int, float]:
        """When each record came."""
        out, _ = self._process.communicate(timeout=120)
        assert self._process.returncode == 0
        return {int(number): at for number, at in json.loads(out).items()}

    def end(self) -> None:
        """Whatever happened."""
        self._process.kill()
        self._process.wait()


@contextmanager
def listening(at: Setting, topic: str, records: int) -> Iterator[Listener]:
    """A listener that is ended in any case."""
    listener = Listener(at, topic, records)
    try:
        yield listener
    finally:
        listener.end()


def paced(at: Setting, first: int, count: int, rate: int) -> list[float]:
    """Seconds from the return of a commit to the consumer, for each of `count` inserts."""
    with listening(at, at.topic, count) as listener:
        committed: dict[int, float] = {}
        with psycopg.connect(at.url, autocommit=True) as db:
            begin = time.monotonic()
            for step in range(count):
                left = begin + step / rate - time.monotonic()
                if left > 0:
                    time.sleep(left)
                db.execute(orders.INSERT, (first + step, first + step), prepare=True)
                committed[first + step] = time.monotonic()
        spent = time.monotonic() - begin
        seen = listener.result()
    print(f"  {count / spent:,.0f} changes/s were made", flush=True)
    assert seen.keys() == committed.keys()
    return [seen[number] - committed[number] for number in committed]


def bare(at: Setting) -> list[float]:
    """Seconds from before a transaction of one record to the consumer, one after the other."""
    topic = f"{at.name}.floor"
    admin = AdminClient({"bootstrap.servers": at.kafka.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    begun: dict[int, float] = {}
    with listening(at, topic, FLOORS) as listener:
        asyncio.run(transactions(at, topic, begun))
        seen = listener.result()
    return [seen[number] - begun[number] for number in begun]


async def transactions(at: Setting, topic: str, begun: dict[int, float]) -> None:
    """By aiokafka, as the bridge uses it: told when each began."""
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=at.kafka.bootstrap, transactional_id=topic, retry_backoff_ms=BACKOFF_MS
    )
    async with producer:
        for step in range(FLOORS):
            begun[step] = time.monotonic()
            async with producer.transaction():
                await producer.send_and_wait(topic, b"", framed(step))


def framed(number: int) -> bytes:
    """A key as the bridge writes it."""
    out = BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    return b"\0\0\0\0\0" + out.getvalue()
