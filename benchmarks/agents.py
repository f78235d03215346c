"""Agents over Kafka, exactly once: events a second of a handler that does nothing and of one that answers.

Against aiokafka reading the same topic and committing, at least once, without decoding anything. The
environment variable `BENCH_BEFORE` may name another built checkout with an environment in `.venv`:
then both are measured, round by round in turns on the same broker, and their ratio is printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import aiokafka

from benchmarks import orders
from benchmarks.bench import Setting, Worker, checkouts, python_of, setting
from benchmarks.results import Results

EVENTS = 60_000
ROUNDS = 6
WARM_ROUNDS = 3
"""Rounds that aren't quoted: a broker's JVM needs them."""
TASKS = ("noop", "answering")
FLOOR = "aiokafka reading and committing"
WORKER = Path(__file__).parent / "agent_worker.py"
COMMANDS = """
commands:
  note_order:
    entity: order
    args: {reason: {type: string}}
    run: "update orders set note = :reason where id = :key"
    tier: outside_the_loop
"""


def main() -> None:
    """All rounds; the medians of the warm ones are quoted."""
    results = Results("agents")
    rates: dict[tuple[str, str], list[float]] = {}
    floors: list[float] = []
    with setting() as at:
        fill(at)
        for number in range(WARM_ROUNDS + ROUNDS):
            floor = EVENTS / asyncio.run(read_all(at, f"floor-{number}"))
            if number >= WARM_ROUNDS:
                floors.append(floor)
            for task in TASKS:
                for label, checkout in checkouts().items():
                    rate = once(at, checkout, task, f"{task}-{label}-{number}")
                    if number >= WARM_ROUNDS:
                        rates.setdefault((task, label), []).append(rate)
    floor = statistics.median(floors)
    results.add(FLOOR, floor, "events/s")
    for (task, label), values in rates.items():
        rate = statistics.median(values)
        name = f"{task} handler, {label}"
        results.add(name, rate, "events/s", FLOOR, rate / floor)
        if label == "before":
            pairs = [now / old for now, old in zip(rates[task, "now"], values, strict=True)]
            results.add(f"{task} handler, now : before", statistics.median(pairs), "ratio")


def fill(at: Setting) -> None:
    """A topic of so many events, by a snapshot."""
    at.renew()
    with (at.folder / "systems" / "erp.yaml").open("a", encoding="utf-8") as file:
        file.write(COMMANDS)
    orders.create(at.url)
    orders.fill(at.url, EVENTS)
    at.sql("create publication bench for table orders")
    at.sql(f"select pg_create_logical_replication_slot('{at.name}', 'pgoutput')")
    with Worker(at) as worker:
        worker.until("SnapshotProgress", done=True)


def once(at: Setting, checkout: Path, task: str, name: str) -> float:
    """Events a second of one agent of a checkout."""
    output = subprocess.run(
        [python_of(checkout), str(WORKER), str(at.folder / "bridge.yaml"), task, str(EVENTS), name],
        env={**os.environ, "ERP_URL": at.url, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    ).stdout
    row = json.loads(output.splitlines()[-1])
    assert row["events"] == EVENTS, row
    rate = float(EVENTS / row["seconds"])
    cpu = row["cpu_s"] / EVENTS * 1e6
    print(f"  {name:28} {rate:>10,.0f} events/s {cpu:>6.1f} us of CPU an event", flush=True)
    return rate


async def read_all(at: Setting, group: str) -> float:
    """Seconds that a bare consumer takes for all events, committing after each read."""
    consumer = aiokafka.AIOKafkaConsumer(
        at.topic,
        bootstrap_servers=at.kafka.bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    count, began = 0, 0.0
    async with consumer:
        while count < EVENTS:
            records = await consumer.getmany(timeout_ms=1000, max_records=1000)
            began = began or time.monotonic()
            count += sum(map(len, records.values()))
            await consumer.commit()
        return time.monotonic() - began
