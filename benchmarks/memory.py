"""Memory while one transaction of a million rows goes by: against the bridge at rest."""

from __future__ import annotations

from benchmarks import orders
from benchmarks.bench import Setting, Worker, setting
from benchmarks.results import Results

ROWS = 1_000_000
REST = "at rest"


def main() -> None:
    """The largest sum of resident memory over the whole process tree."""
    results = Results("memory")
    with setting() as at:
        rest, peak, rate = once(at)
    results.add(REST, rest / 1e6, "MB")
    results.add("in a transaction of a million rows", peak / 1e6, "MB", REST, peak / rest)
    results.add("rate meanwhile", rate, "changes/s")


def once(at: Setting) -> tuple[int, int, float]:
    """Bytes at rest and at most, and the rate."""
    at.renew()
    orders.create(at.url)
    at.sql("create publication bench for table orders")
    at.sql(f"select pg_create_logical_replication_slot('{at.name}', 'pgoutput')")
    with Worker(at) as worker:
        worker.until("SnapshotProgress", done=True)
        rest = worker.peak
        orders.insert(at.url, 1, ROWS)
        begin, last = worker.captured(ROWS)
        return rest, worker.peak, ROWS / (last - begin)
