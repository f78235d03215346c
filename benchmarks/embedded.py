"""The embedded log's appends and reads: against plain inserts into and selects from SQLite."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
import time
from pathlib import Path

from benchmarks.results import Results
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry, TopicPartition, TopicSpec

RECORDS, STEP = 200_000, 5_000
SINGLES, TOGETHER = 500, 5_000
PARTITIONS = 4
FLOOR = "plain SQLite"
HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/acme/erp"),
    ("ce_type", b"acme.erp.order.update"),
    ("content-type", b"application/avro"),
)


def main() -> None:
    """The same records, transactions and durability (WAL, synchronous=FULL) in both."""
    results = Results("embedded")
    entries = [entry(number) for number in range(RECORDS)]
    gc.collect()
    gc.freeze()
    try:
        with tempfile.TemporaryDirectory() as folder:
            floor = plain(Path(folder) / "plain.db", entries)
            rates = asyncio.run(embedded(Path(folder) / "log.db", entries))
    finally:
        gc.unfreeze()
    for name, value in rates.items():
        bound = floor.get(name)
        if bound is None:
            results.add(name, value, "records/s")
        else:
            results.add(f"{FLOOR}: {name}", bound, "records/s")
            results.add(name, value, "records/s", FLOOR, value / bound)


def entry(number: int) -> Entry:
    """An event of about 400 bytes, with the headers of one."""
    heads = [
        *HEADERS,
        ("ce_id", b"erp:0000-0000000000000001-%010d" % number),
        ("ce_time", b"2026-01-01T00:00:00.%06dZ" % (number % 1_000_000)),
    ]
    key = b"\0\0\0\0\1\x14%010d" % number
    return Entry(key, b"v" * (150 + number % 3), heads, 1_767_225_600_000, number % PARTITIONS)


APPENDS = f"appends, {STEP:,} a transaction"
READS = f"reads, {STEP:,} at a time"
ALONE = "appends, one a transaction"
MANY = f"appends of {TOGETHER:,} tasks at a time"


def plain(file: Path, entries: list[Entry]) -> dict[str, float]:
    """A table with a row a record."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    db.execute(
        "create table log (id integer primary key, partition int, at int, key blob, headers blob, "
        "value blob)"
    )
    insert = "insert into log (partition, at, key, headers, value) values (?, ?, ?, ?, ?)"
    rows = [
        (e[4], e[3], e[0], b"".join(name.encode() + held for name, held in e[2]), e[1])
        for e in entries
    ]
    rates = {}
    begin = time.perf_counter()
    for start in range(0, RECORDS, STEP):
        db.execute("begin immediate")
        db.executemany(insert, rows[start : start + STEP])
        db.execute("commit")
    rates[APPENDS] = RECORDS / (time.perf_counter() - begin)
    begin, count = time.perf_counter(), 0
    cursor = db.execute("select id, partition, at, key, headers, value from log order by id")
    while read := cursor.fetchmany(STEP):
        count += len(read)
    assert count == RECORDS
    rates[READS] = RECORDS / (time.perf_counter() - begin)
    begin = time.perf_counter()
    for row in rows[:SINGLES]:
        db.execute(insert, row)
    rates[ALONE] = SINGLES / (time.perf_counter() - begin)
    db.close()
    return rates


async def embedded(file: Path, entries: list[Entry]) -> dict[str, float]:
    """The log, through its port."""
    log = EmbeddedLog(str(file))
    await log.open()
    await log.create_topics([TopicSpec("many", partitions=PARTITIONS), TopicSpec("one")])
    producer = await log.producer("benchmark")
    rates = {}
    begin = time.perf_counter()
    for start in range(0, RECORDS, STEP):
        async with producer.transaction() as transaction:
            await transaction.append("many", entries[start : start + STEP])
    rates[APPENDS] = RECORDS / (time.perf_counter() - begin)
    reader = await log.reader({TopicPartition("many", n): 0 for n in range(PARTITIONS)})
    begin, count = time.perf_counter(), 0
    while count < RECORDS:
        count += len(await reader.read(STEP, 1))
    rates[READS] = RECORDS / (time.perf_counter() - begin)
    await reader.close()
    singles = [Entry(*e[:4], 0) for e in entries[:TOGETHER]]
    begin = time.perf_counter()
    for entry in singles[:SINGLES]:
        await log.append("one", [entry])
    rates[ALONE] = SINGLES / (time.perf_counter() - begin)
    begin = time.perf_counter()
    await asyncio.gather(*(log.append("one", [entry]) for entry in singles))
    rates[MANY] = TOGETHER / (time.perf_counter() - begin)
    await producer.close()
    await log.close()
    return rates
