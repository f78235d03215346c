"""PostgreSQL to Kafka as Avro, exactly once: against pg_recvlogical writing a file."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks import orders, peer
from benchmarks.bench import HERE, Setting, Worker, checkouts, setting
from benchmarks.decoded import verify
from benchmarks.results import Results

RUNS = int(os.environ.get("BENCH_ROUNDS", "3"))
PEER = "pg_recvlogical to a file"


class Run(NamedTuple):
    """One round of one checkout: seconds of the bridge and of the peer, peak memory in bytes, CPU
    seconds, records that confluent-kafka decoded.
    """

    ours: float
    theirs: float
    memory: int
    cpu: float
    records: int


def main() -> None:
    """Both drain the same changes of the same server, in turn; the median run is quoted.

    A first run, which isn't, warms the broker's JVM up: it halves the rate. Where BENCH_BEFORE names
    another checkout both are measured, round by round in turns.
    """
    results = Results("stream")
    runs: dict[str, list[Run]] = {}
    with setting() as at:
        for number in range(RUNS + 1):
            for label, checkout in checkouts().items():
                run = once(at, checkout)
                if number:
                    runs.setdefault(label, []).append(run)
    count = orders.CHANGES
    for label, rounds in runs.items():
        run = sorted(rounds, key=lambda each: each.ours / each.theirs)[len(rounds) // 2]
        results.add(PEER, count / run.theirs, "changes/s")
        rate = count / run.ours
        results.add(f"to Kafka, {label}", rate, "changes/s", PEER, run.theirs / run.ours)
        results.add("CPU time of the bridge", run.cpu / count * 1e6, "us/change")
        results.add("peak memory of the process tree", run.memory / 1e6, "MB")
        results.add("records decoded by confluent-kafka", run.records, "records")
    if "before" in runs:
        pairs = list(zip(runs["now"], runs["before"], strict=True))
        rates = [before.ours / now.ours for now, before in pairs]
        costs = [now.cpu / before.cpu for now, before in pairs]
        results.add("rate, now : before", statistics.median(rates), "ratio")
        results.add("CPU time, now : before", statistics.median(costs), "ratio")


def once(at: Setting, checkout: Path = HERE) -> Run:
    """One round by the code of a checkout."""
    at.renew()
    orders.create(at.url)
    at.sql("create publication bench for table orders")
    at.sql(f"select pg_create_logical_replication_slot('{at.name}', 'pgoutput')")
    with Worker(at, checkout) as worker:
        worker.until("SnapshotProgress", done=True)
    slot = f"{at.name}_peer"
    peer.slot(at.url, slot)
    orders.change(at.url)
    end, file = peer.end(at.url), at.folder / "peer.out"
    theirs = peer.drain(
        at.url, slot, publication="bench", upto=end, bindir=at.postgres.bindir, file=file
    )
    file.unlink()
    at.sql(f"select pg_drop_replication_slot('{slot}')")
    with Worker(at, checkout) as worker:
        begin = worker.until("SourceState", state="streaming")["at"]
        cpu = worker.cpu()
        _, last = worker.captured(orders.CHANGES)
        cpu = worker.cpu() - cpu
        ours = last - begin
    count = orders.CHANGES
    print(f"  {count / ours:,.0f} changes/s, the peer {count / theirs:,.0f}", flush=True)
    return Run(ours, theirs, worker.peak, cpu, verify(at))
