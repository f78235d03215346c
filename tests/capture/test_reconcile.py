"""A reconcile that was interrupted continues where it was, and deletes nothing that is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.capture import control
from bridge.capture.checkpoint.record import SnapshotJob
from bridge.capture.runner import Capture
from bridge.capture.snapshot import log_keys
from bridge.capture.snapshot.key_set import KeySet
from bridge.capture.snapshot.log_keys import LogKeys
from bridge.log.port import Entry
from bridge.model import headers
from bridge.model.names import change_topic
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, until
from tests.capture.test_rows import ENTITY, TABLE, reported
from tests.capture.test_snapshots import SMALL, SnapshotInterrupted
from tests.waiting import WAIT_TIMEOUT_S

ROWS = 300
GONE = {number for number in range(1, ROWS + 1) if number % 3 == 0}
#: A transaction holds two chunks at most, so that the second one does not hold all of them.
LIMITS = replace(SMALL, rows=40, changes=80)


async def prepared(harness: CaptureHarness) -> None:
    """A log that knows rows which are gone from the table; a row that became nonsense."""
    harness.limits = LIMITS
    harness.run(TABLE, *(f"INSERT INTO t VALUES ({n}, '{n}.00', 'x')" for n in range(1, ROWS + 1)))
    await harness.declare(ENTITY)
    async with harness.capturing("one"):
        pass
    unseen = harness.database.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")[1]
    harness.run(*(f'DROP TRIGGER "{name}"' for name, _ in unseen))
    harness.run("DELETE FROM t WHERE id % 3 = 0")
    harness.run(*(sql for _, sql in unseen))
    harness.run("UPDATE t SET amount = 'nonsense' WHERE id = 1")


def interrupted_at(harness: CaptureHarness, step: str, time: int) -> Callable[[str], None]:
    """Ends capture there, counted from the first chunk on; makes nonsense of a row of it while it
    is read.
    """
    seen: Counter[str] = Counter()

    def act(records: str) -> None:
        first = ("chunk.after", "deletes.before")
        seen[records] += records in first or seen["chunk.after"] > 0
        if records == "chunk.after" and seen[records] == 1:
            harness.run("UPDATE t SET amount = 'nonsense' WHERE id = 2")
        if records == step and seen[records] == time:
            raise SnapshotInterrupted

    return act


async def interrupt(harness: CaptureHarness, step: str, time: int) -> str:
    """Ask for a reconcile and end in the midst of it; returns the request's id."""
    request = control.request("erp", "snapshot", "t", reconcile=True)
    await control.send(harness.log, BRIDGE, request)
    await run_to(harness, step, time)
    return request.id


async def run_to(harness: CaptureHarness, step: str, time: int) -> None:
    capture = Capture(harness.deps(crash_point=interrupted_at(harness, step, time)), "two")
    with pytest.raises(SnapshotInterrupted):
        await asyncio.wait_for(capture.run(), WAIT_TIMEOUT_S)


async def ops(harness: CaptureHarness) -> Counter[tuple[int, str]]:
    return Counter((record.key["id"], record.op) for record in await harness.records("t"))


async def test_a_reconcile_goes_on_at_the_chunk_where_it_was_interrupted(
    harness: CaptureHarness,
) -> None:
    await prepared(harness)
    first = await ops(harness)
    request = await interrupt(harness, "commit.after", 3)
    between = await ops(harness) - first
    assert 0 < sum(count for (_, op), count in between.items() if op == "read") < 198
    async with harness.capturing("three"):
        await until(lambda: reported(harness, request))
    later_ops = await ops(harness) - first
    # Rows 1 and 2 are in the table, although nothing told of them since.
    assert {key for key, op in later_ops if op == "read"} == set(harness.table("t")) - {1, 2}
    assert {key for key, op in later_ops if op == "delete"} == GONE
    assert set(later_ops.values()) == {1}
    assert set(await harness.state("t")) == set(harness.table("t"))


@pytest.mark.parametrize("step", ["chunk.after", "emit.before", "commit.after", "deletes.before"])
async def test_wherever_a_reconcile_is_interrupted_it_ends_right(
    harness: CaptureHarness, step: str
) -> None:
    await prepared(harness)
    request = await interrupt(harness, step, 1)
    await run_to(harness, step, 1)
    async with harness.capturing("three"):
        await until(lambda: reported(harness, request))
    assert set(await harness.state("t")) == set(harness.table("t"))
    deletes = {key: count for (key, op), count in (await ops(harness)).items() if op == "delete"}
    assert deletes == dict.fromkeys(GONE, 1)


@pytest.mark.parametrize("event_id", [b"\xbb\xff", b"", b"erp:\xff", b"erp:FFFF"])
async def test_a_record_of_another_program_ends_no_scan(
    harness: CaptureHarness, event_id: bytes
) -> None:
    """Anybody who may write to the topic would otherwise end capture with the next reconcile."""
    await prepared(harness)
    topic = change_topic(BRIDGE, "erp", "t")
    await harness.log.append(topic, [Entry(b"\xff\x00", b"\xff", [(headers.ID, event_id)])])
    partitions = (await harness.log.topics())[topic].partitions
    keys = KeySet()
    assert await log_keys.scan(harness.log, topic, partitions, keys, "0000") > ROWS
    keys.close()


def test_what_is_spared_is_remembered_only_while_it_is_little() -> None:
    job = SnapshotJob("r", "t", reconcile=True, since="0001", spared=frozenset([b"a"]))
    running = LogKeys(job)
    running.spare([b"b"])
    assert running.stamped(job) == replace(job, spared=frozenset([b"a", b"b"]))
    running.spare([b"%d" % number for number in range(log_keys.MAX_SPARED_KEYS)])
    running.spare([b"c"])
    assert running.stamped(job) == replace(job, since="", spared=frozenset())
    assert list(running.keys.left(10)) == []
    running.keys.close()
