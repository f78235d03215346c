"""PostgreSQL to Kafka as Avro, exactly once: against pg_recvlogical writing a file."""

from __future__ import annotations

from benchmarks import orders, peer
from benchmarks.bench import Setting, Worker, setting
from benchmarks.decoded import verify
from benchmarks.results import Results

RUNS = 3
PEER = "pg_recvlogical to a file"


def main() -> None:
    """Both drain the same changes of the same server, in turn; the median run is quoted.

    A first run, which isn't, warms the broker's JVM up: it halves the rate.
    """
    results = Results("stream")
    with setting() as at:
        once(at)
        runs = sorted((once(at) for _ in range(RUNS)), key=lambda run: run[0] / run[1])
        ours, theirs, memory, cpu, records = runs[len(runs) // 2]
    count = orders.CHANGES
    results.add(PEER, count / theirs, "changes/s")
    results.add("to Kafka, exactly once", count / ours, "changes/s", PEER, theirs / ours)
    results.add("CPU time of the bridge", cpu / count * 1e6, "us/change")
    results.add("peak memory of the process tree", memory / 1e6, "MB")
    results.add("records decoded by confluent-kafka", records, "records")


def once(at: Setting) -> tuple[float, float, float, float, int]:
    """Seconds of the bridge and of the peer, peak memory, CPU seconds, records decoded."""
    at.renew()
    orders.create(at.url)
    at.sql("create publication bench for table orders")
    at.sql(f"select pg_create_logical_replication_slot('{at.name}', 'pgoutput')")
    with Worker(at) as worker:
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
    with Worker(at) as worker:
        begin = worker.until("SourceState", state="streaming")["at"]
        cpu = worker.cpu()
        _, last = worker.captured(orders.CHANGES)
        cpu = worker.cpu() - cpu
        ours = last - begin
    count = orders.CHANGES
    print(f"  {count / ours:,.0f} changes/s, the peer {count / theirs:,.0f}", flush=True)
    return ours, theirs, worker.peak, cpu, verify(at)
