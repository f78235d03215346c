"""How far a group is behind, where its offsets and those of the topic don't fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.log.embedded import EmbeddedLog
from bridge.log.group_lag import PartitionLag, partition_lags
from bridge.log.port import Entry, TopicPartition, TopicSpec

PARTITION = TopicPartition("t", 0)


@pytest.mark.parametrize(
    ("committed", "records", "missing"),
    [(None, 10, 0), (0, 10, 0), (4, 6, 0), (10, 0, 0)],
)
async def test_lag_is_what_the_group_will_read(
    tmp_path: Path, committed: int | None, records: int, missing: int
) -> None:
    [lag] = await lags_of_ten(tmp_path, committed)
    assert (lag.records, lag.missing) == (records, missing)


async def test_a_topic_that_was_made_again_is_read_from_its_beginning(tmp_path: Path) -> None:
    """Its end is before what the group has read of the old one; that was told as no lag at all."""
    [lag] = await lags_of_ten(tmp_path, 500)
    assert (lag.start, lag.records) == (0, 10)


async def lags_of_ten(tmp_path: Path, committed: int | None) -> list[PartitionLag]:
    """Of a group in a topic with ten records."""
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    try:
        await log.create_topics([TopicSpec("t", partitions=1)])
        await log.append("t", [Entry(b"k", b"v") for _ in range(10)])
        return await partition_lags(log, {"group": {PARTITION: committed}})
    finally:
        await log.close()
