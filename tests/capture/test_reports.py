"""What a source reports of itself, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from bridge.capture.report import status_record
from bridge.log.port import TopicPartition
from tests.capture.databases import BRIDGE
from tests.capture.harness import QUICK, CaptureHarness, until

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)"


async def test_what_a_burst_brought_is_reported_soon_after_it_not_with_the_next_keep_alive(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    harness.limits = replace(QUICK, keep_alive=3600, status=0.5)
    async with harness.capturing() as capture:
        for number in range(1, 6):
            harness.run(f"INSERT INTO t VALUES ({number}, 'x')")
            await harness.equal("t")
        await until(lambda: counted(harness, 5))
        at = (await status_record.statuses(harness.log, BRIDGE))["erp"].position
        assert at == capture.stats.progress.position
        # Where nothing comes, nothing more is written.
        partition = TopicPartition(status_record.topic(BRIDGE).name, 0)
        before = await harness.log.end_offsets([partition])
        await asyncio.sleep(1.2)
        assert await harness.log.end_offsets([partition]) == before


async def test_a_report_counts_the_changes_that_it_comes_with(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    harness.limits = replace(QUICK, keep_alive=3600, status=0)
    async with harness.capturing():
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")
        assert await counted(harness, 1)


async def test_an_orderly_end_is_reported_with_the_last_figures(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    harness.limits = replace(QUICK, keep_alive=3600, status=3600)
    async with harness.capturing() as capture:
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")
        assert not await counted(harness, 1)
    status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    assert (status.state, status.reason, status.changes) == ("stopped", "", 1)
    assert status.position == capture.stats.progress.position
    assert status.snapshots == ()


async def counted(harness: CaptureHarness, changes: int) -> bool:
    by_system: Mapping[str, status_record.SourceStatus] = await status_record.statuses(
        harness.log, BRIDGE
    )
    return "erp" in by_system and by_system["erp"].changes == changes
