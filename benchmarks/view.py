"""The view of a system over Kafka: built cold, started warm, on disk and in memory, and how long after a
commit a row can be seen.

The floor of a cold build is read in the same run: aiokafka's `getmany` of the same records, and plain
inserts of their keys and values into a table of SQLite. VIEW_ROWS sets how many there are.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from benchmarks.results import Results
from bridge.capture.checkpoint import codec
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.gateway.view.system_view import SystemView
from bridge.gateway.view.view_parts import ViewParts
from bridge.log.kafka import from_url
from bridge.log.port import Entry, Log, TopicPartition
from bridge.log.topic_specs import internal_topic_specs, public_topic_specs
from bridge.model.names import change_topic, internal_topic
from bridge.model.position import MAX_NUMBER, format_position
from bridge.plan.avro_encoder import long_bytes
from tests.gateway.view.change_records import EXACT, ORDER, change_value, order
from tests.gateway.view.written_log import (
    CAPTURE,
    HISTORY_MS,
    KEY_HEADER,
    CountedTexts,
    GivenProofs,
    NumberedLetters,
)
from tests.services import provide

ROWS = int(os.environ.get("VIEW_ROWS", "1000000"))
STEP = 5_000
COMMITS = 300
PAUSE_S = 0.01
NOTE = "x" * 109
FLOOR = "getmany and plain inserts"


def main() -> None:
    """Each measure in a process of its own, over one broker."""
    if len(sys.argv) > 1 and sys.argv[1] in MEASURES:
        name, bootstrap, bridge, folder = sys.argv[1:5]
        print(json.dumps(asyncio.run(MEASURES[name](bootstrap, bridge, Path(folder)))))
        return
    results = Results("view")
    with provide.kafka() as broker, tempfile.TemporaryDirectory() as folder:
        at = (broker.bootstrap, f"view{secrets.token_hex(4)}", folder)
        size = measure("write", *at)["size"]
        results.add("Avro bytes of a row", size, "bytes")
        millions = ROWS / 1_000_000
        floor, cold = measure("floor", *at), measure("cold", *at)
        results.add(FLOOR, floor["seconds"], "s")
        ratio = cold["seconds"] / floor["seconds"]
        results.add("cold build", cold["seconds"], "s", FLOOR, ratio)
        results.add("disk per million rows", cold["bytes"] / 1e6 / millions, "MB")
        results.add("memory per million rows", cold["memory"] / 1e6 / millions, "MB")
        results.add("warm start", measure("warm", *at)["seconds"], "s")
        lags = measure("lag", *at)
        for name in ("p50", "p99"):
            plain, viewed = lags["plain"][name], lags["view"][name]
            results.add(f"commit to a plain reader, {name}", plain * 1000, "ms")
            results.add(f"commit to visible in the view, {name}", viewed * 1000, "ms")
            results.add(f"the view's part, {name}", (viewed - plain) * 1000, "ms")


def measure(name: str, bootstrap: str, bridge: str, folder: str) -> dict[str, Any]:
    """Run one measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.view", name, bootstrap, bridge, folder]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


async def write(bootstrap: str, bridge: str, _: Path) -> dict[str, Any]:
    """Write all rows and a checkpoint, as capture does."""
    log = await opened(bootstrap)
    await log.create_topics(
        [
            *public_topic_specs(bridge, [ORDER.qualified], HISTORY_MS),
            *internal_topic_specs(bridge, embedded_registry=False, remembers_ids=False),
        ]
    )
    template = change_value({**order(0, 0), "note": NOTE}, op="read", commit=1)
    # After the note comes the row's number.
    at = template.index(NOTE.encode()) + len(NOTE)
    begin, end = template[:at], template[at + 1 :]
    producer = await log.producer("capture")
    for start in range(0, ROWS, STEP):
        entries = []
        for number in range(start, min(start + STEP, ROWS)):
            key = long_bytes(number)
            entries.append(Entry(KEY_HEADER + key, begin + key + end))
        async with producer.transaction() as transaction:
            await transaction.append(topic_of(bridge), entries)
    async with producer.transaction() as transaction:
        await transaction.append(internal_topic(bridge, "positions"), [checkpoint(1)])
    await producer.close()
    await log.close()
    return {"size": len(template) - len(change_value(None, commit=1))}


async def floor(bootstrap: str, bridge: str, folder: Path) -> dict[str, Any]:
    """Seconds of reading the records and inserting them, and nothing else."""
    log = await opened(bootstrap)
    topic = topic_of(bridge)
    partitions = [
        KafkaPartition(topic, number) for number in range((await log.topics())[topic].partitions)
    ]
    await log.close()
    begin, count = time.perf_counter(), 0
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    consumer.assign(partitions)
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        while count < ROWS:
            batches = await consumer.getmany(timeout_ms=1000, max_records=STEP)
            rows = [(each.key, each.value) for batch in batches.values() for each in batch]
            database.execute("BEGIN")
            database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", rows)
            database.execute("COMMIT")
            count += len(rows)
    seconds = time.perf_counter() - begin
    await consumer.stop()
    return {"seconds": seconds}


async def cold(bootstrap: str, bridge: str, folder: Path) -> dict[str, Any]:
    """Seconds until the view serves every row, from an empty folder."""
    log = await opened(bootstrap)
    before = memory()
    view, running, seconds = await ready(log, bridge, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = view.get("order", long_bytes(ROWS - 1))
    assert row is not None
    assert row["note"] == NOTE
    await ended(running)
    await log.close()
    return {"seconds": seconds, "bytes": view.status().bytes, "memory": peak - before}


async def warm(bootstrap: str, bridge: str, folder: Path) -> dict[str, Any]:
    """Seconds until the view serves every row, from its file."""
    log = await opened(bootstrap)
    view, running, seconds = await ready(log, bridge, folder)
    assert view.status().rows == 0, view.status()
    await ended(running)
    await log.close()
    return {"seconds": seconds}


async def lag(bootstrap: str, bridge: str, folder: Path) -> dict[str, Any]:
    """After the commit of a change: when a plain reader has it, and when the view shows it."""
    log = await opened(bootstrap)
    view, running, _ = await ready(log, bridge, folder)
    topic = topic_of(bridge)
    partitions = [TopicPartition(topic, n) for n in range((await log.topics())[topic].partitions)]
    reader = await log.reader(await log.end_offsets(partitions))
    producer = await log.producer("capture")
    seen: dict[int, float] = {}

    async def read() -> None:
        while True:
            for record in await reader.read(100, 1):
                seen[int(record.headers[0][1])] = time.perf_counter()

    reading = asyncio.create_task(read())
    plain, viewed = [], []
    for commit in range(2, 2 + COMMITS):
        key, position = long_bytes(commit), format_position(0, commit, MAX_NUMBER)
        value = change_value({**order(commit, 0), "note": NOTE}, commit=commit)
        headers = [("n", str(commit).encode())]
        async with producer.transaction() as transaction:
            await transaction.append(topic, [Entry(KEY_HEADER + key, value, headers)])
            await transaction.append(internal_topic(bridge, "positions"), [checkpoint(commit)])
            began = time.perf_counter()
        while (claim := view.claim("order")) is None or claim.position < position:
            await asyncio.sleep(0.0002)
        viewed.append(time.perf_counter() - began)
        while commit not in seen:
            await asyncio.sleep(0.0002)
        plain.append(seen[commit] - began)
        await asyncio.sleep(PAUSE_S)
    for task in (reading, running):
        await ended(task)
    await log.close()
    return {"plain": percentiles(plain), "view": percentiles(viewed)}


def percentiles(values: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    cuts = quantiles(values, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


async def ready(
    log: Log, bridge: str, folder: Path
) -> tuple[SystemView, asyncio.Task[None], float]:
    """A view that serves, and the seconds that it took."""
    entities = {"order": ORDER}
    parts = ViewParts(
        log=log,
        registry=CountedTexts(),  # type: ignore[arg-type]
        codec=NumberedLetters(),  # type: ignore[arg-type]
        bridge=bridge,
        system="erp",
        entities={"order": replace(ORDER, relations=())},
        entity_now=entities.__getitem__,
        exact_fields=EXACT,
        path=folder / "bench.view",
        max_bytes=1 << 40,
        history_ms=HISTORY_MS,
        capture=CAPTURE,
        proofs=GivenProofs(),
        report=fail,
        report_record=lambda reason: fail(1, reason),
    )
    begin = time.perf_counter()
    view = SystemView(parts)
    running = asyncio.create_task(view.run())
    while view.claim("order") is None:
        assert not running.done(), running.exception()
        await asyncio.sleep(0.002)
    return view, running, time.perf_counter() - begin


def fail(failures: int, reason: str) -> None:
    """The log is available here, and holds nothing else."""
    raise AssertionError((failures, reason))


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel and wait."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def opened(bootstrap: str) -> Log:
    """The broker's log."""
    log = from_url(f"kafka://{bootstrap}")
    await log.open()
    return log


def topic_of(bridge: str) -> str:
    """The topic of the orders."""
    return change_topic(bridge, "erp", "order")


def checkpoint(commit: int) -> Entry:
    """Capture's own record at the end of a commit."""
    position = format_position(0, commit, MAX_NUMBER)
    record = CheckpointRecord(position=position, taken={"order": format_position(0, 1, 0)})
    return Entry(b"erp", codec.dump(record))


def memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


MEASURES: dict[str, Any] = {"write": write, "floor": floor, "cold": cold, "warm": warm, "lag": lag}


if __name__ == "__main__":
    main()
