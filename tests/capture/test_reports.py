"""What a source reports of itself, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from bridge.capture.report import status_record
from bridge.log.port import TopicPartition
from tests.capture.legacy import BRIDGE
from tests.capture.rig import QUICK, Rig, until

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)"


async def test_what_a_burst_brought_is_reported_soon_after_it_not_with_the_next_keep_alive(
    rig: Rig,
) -> None:
    rig.run(TABLE)
    await rig.declare("t")
    rig.limits = replace(QUICK, keep_alive=3600, status=0.5)
    async with rig.capturing() as capture:
        for number in range(1, 6):
            rig.run(f"INSERT INTO t VALUES ({number}, 'x')")
            await rig.equal("t")
        await until(lambda: counted(rig, 5))
        at = (await status_record.statuses(rig.log, BRIDGE))["erp"].position
        assert at == capture.pulse.progress.position
        # Where nothing comes, nothing more is written.
        place = TopicPartition(status_record.topic(BRIDGE).name, 0)
        before = await rig.log.end_offsets([place])
        await asyncio.sleep(1.2)
        assert await rig.log.end_offsets([place]) == before


async def test_a_report_counts_the_changes_that_it_comes_with(rig: Rig) -> None:
    rig.run(TABLE)
    await rig.declare("t")
    rig.limits = replace(QUICK, keep_alive=3600, status=0)
    async with rig.capturing():
        rig.run("INSERT INTO t VALUES (1, 'x')")
        await rig.equal("t")
        assert await counted(rig, 1)


async def test_an_orderly_end_is_reported_with_the_last_figures(rig: Rig) -> None:
    rig.run(TABLE)
    await rig.declare("t")
    rig.limits = replace(QUICK, keep_alive=3600, status=3600)
    async with rig.capturing() as capture:
        rig.run("INSERT INTO t VALUES (1, 'x')")
        await rig.equal("t")
        assert not await counted(rig, 1)
    found = (await status_record.statuses(rig.log, BRIDGE))["erp"]
    assert (found.state, found.reason, found.changes) == ("stopped", "", 1)
    assert found.position == capture.pulse.progress.position
    assert found.snapshots == ()


async def counted(rig: Rig, changes: int) -> bool:
    found: Mapping[str, status_record.Status] = await status_record.statuses(rig.log, BRIDGE)
    return "erp" in found and found["erp"].changes == changes
