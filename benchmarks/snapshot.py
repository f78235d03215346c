"""The first snapshot of a table into Kafka: against `COPY` of the same table to nowhere."""

from __future__ import annotations

import subprocess
import time

from benchmarks import orders
from benchmarks.bench import Setting, Worker, setting
from benchmarks.decoded import verify
from benchmarks.results import Results

ROWS = 600_000
RUNS = 2
FLOOR = "psql COPY BINARY to /dev/null"


def main() -> None:
    """Each run is a new database, table and bridge; the better one is quoted."""
    results = Results("snapshot")
    with setting() as at:
        runs = [once(at) for _ in range(RUNS)]
        ours, floor, memory, cpu = min(runs)
        records = verify(at)
    results.add(FLOOR, ROWS / floor, "rows/s")
    results.add("to Kafka, exactly once", ROWS / ours, "rows/s", FLOOR, floor / ours)
    results.add("CPU time of the bridge", cpu / ROWS * 1e6, "us/row")
    results.add("peak memory of the process tree", memory / 1e6, "MB")
    results.add("records decoded by confluent-kafka", records, "records")


def once(at: Setting) -> tuple[float, float, int, float]:
    """Seconds of the bridge and of the floor, peak memory, CPU seconds."""
    at.renew()
    orders.create(at.url)
    orders.fill(at.url, ROWS)
    at.sql("create publication bench for table orders")
    at.sql(f"select pg_create_logical_replication_slot('{at.name}', 'pgoutput')")
    floor = copied(at)
    with Worker(at) as worker:
        begin = worker.until("SourceState", state="streaming")["at"]
        cpu = worker.cpu()
        last = worker.until("SnapshotProgress", seconds=300, done=True)["at"]
        cpu = worker.cpu() - cpu
    ours = last - begin
    print(f"  {ROWS / ours:,.0f} rows/s, the floor {ROWS / floor:,.0f}", flush=True)
    return ours, floor, worker.peak, cpu


def copied(at: Setting) -> float:
    """Seconds that psql takes for the whole table in one go."""
    statement = "copy orders to stdout (format binary)"
    begin = time.perf_counter()
    subprocess.run(
        [str(at.postgres.bindir / "psql"), at.url, "-qXc", statement],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin
