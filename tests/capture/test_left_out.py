"""An entity that is taken out of the configuration and put back misses nothing."""

from __future__ import annotations

import pytest

from bridge.capture.checkpoint.record import (
    LEFT_OUT,
    CheckpointRecord,
    EntityPause,
    SnapshotJob,
    leave_out,
)
from bridge.capture.checkpoint.store import progress_of
from bridge.observe import SnapshotProgress
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, until

TABLE = "CREATE TABLE {} (id int PRIMARY KEY, s text)"


@pytest.fixture(params=["harness", "pg"])
def source(request: pytest.FixtureRequest) -> CaptureHarness:
    """Over a journal, and over PostgreSQL."""
    harness = request.getfixturevalue(request.param)
    assert isinstance(harness, CaptureHarness)
    return harness


async def test_an_entity_that_is_put_back_is_compared_with_its_table(
    source: CaptureHarness,
) -> None:
    source.run(*(TABLE.format(name) for name in "tu"))
    source.run("INSERT INTO u VALUES (1, 'goes'), (2, 'changes'), (3, 'stays'), (4, 'stays')")
    await source.declare("t", "u")
    both = source.entities
    async with source.capturing("one"):
        await source.equal("t", "u")
    source.entities = both[:1]
    async with source.capturing("two"):
        source.run(
            "DELETE FROM u WHERE id = 1",
            "UPDATE u SET s = 'changed' WHERE id = 2",
            "INSERT INTO u VALUES (5, 'came')",
            "INSERT INTO t VALUES (1, 'x')",
        )
        await source.equal("t")
    source.entities = both
    async with source.capturing("three") as capture:
        await source.equal("t", "u")
        await until(lambda: not capture.stats.progress.jobs)
        assert all(capture.stats.progress.taken.values())
    taken = [each for each in source.notices if isinstance(each, SnapshotProgress) and each.done]
    async with source.capturing("four") as capture:
        source.run("INSERT INTO u VALUES (6, 'then')")
        await source.equal("u")
        assert not capture.stats.progress.jobs
    again = [each for each in source.notices if isinstance(each, SnapshotProgress) and each.done]
    assert again == taken, "it is compared once"
    assert await progress_of(source.log, BRIDGE, "erp") is not None


def test_what_is_no_longer_declared_is_noted_once() -> None:
    progress = CheckpointRecord(
        taken={"a": "1", "b": "2"},
        paused={"c": EntityPause("why", "1", 0)},
        jobs=(SnapshotJob("first-d", "d"), SnapshotJob("first-a", "a")),
    )
    left = leave_out(progress, {"a"})
    assert left.taken == {"a": "1", "b": LEFT_OUT, "c": LEFT_OUT, "d": LEFT_OUT}
    assert left.paused == {}
    assert [job.entity for job in left.jobs] == ["a"]
    assert [result.failed for result in left.results] == ["the entity is no longer declared"]
    assert leave_out(left, {"a"}) is left
    assert leave_out(progress, {"a", "b", "c", "d"}) is progress
