"""Records that are removed before a group, and offsets that are gone: said, on both logs."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import from_url
from bridge.log.partition_owner import ObservedGroup, own_partitions
from bridge.log.port import (
    Consumer,
    Entry,
    Gap,
    Log,
    Record,
    RecordsRemoved,
    TopicPartition,
    TopicSpec,
)
from bridge.observe import GroupJoined, GroupMoved, Notice
from bridge.wiring.status.group_rows import group_rows
from tests.log.removal import remove_embedded, remove_kafka

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

Remove = Callable[[TopicPartition, int], Awaitable[None]]


@dataclass
class Harness:
    """A log with a topic of ten records, and a way to remove the first of them."""

    log: Log
    remove: Remove
    group: str
    partition: TopicPartition


@pytest.fixture(params=["embedded", "kafka"])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    log: Log
    if request.param == "embedded":
        log = EmbeddedLog(tmp_path / "log.db")

        async def remove(partition: TopicPartition, before: int) -> None:
            await asyncio.to_thread(remove_embedded, tmp_path / "log.db", partition, before)
    else:
        broker: Kafka = request.getfixturevalue("kafka")
        log = from_url(f"kafka://{broker.bootstrap}")

        async def remove(partition: TopicPartition, before: int) -> None:
            await remove_kafka(broker.bootstrap, partition, before)

    await log.open()
    topic = f"r{secrets.token_hex(4)}"
    await log.create_topics([TopicSpec(topic, partitions=1)])
    for number in range(10):
        await log.append(topic, [Entry(b"k", b"%d" % number)])
    yield Harness(log, remove, f"g{secrets.token_hex(4)}", TopicPartition(topic, 0))
    await log.close()


async def first_words(member: Consumer) -> tuple[RecordsRemoved | None, list[Record]]:
    """What a member says first, and the records that it delivers then."""
    removed: RecordsRemoved | None = None
    while True:
        try:
            records = await member.read(100, 1.0)
        except RecordsRemoved as error:
            assert removed is None, "said once"
            removed = error
            continue
        if records:
            return removed, records


async def test_a_member_says_how_much_was_removed_while_it_was_away(harness: Harness) -> None:
    """An agent went from order 1 to order 8 without a word."""
    log, partition = harness.log, harness.partition
    await log.reset_offsets(harness.group, {partition: 2})
    await harness.remove(partition, 7)
    [row] = await group_rows(log, {harness.group: (await log.groups())[harness.group]})
    assert (row["missing"], row["lag"]) == (5, 3)
    member = await log.join(harness.group, [partition.topic])
    removed, records = await first_words(member)
    await member.close()
    assert removed is not None
    assert removed.gaps == {partition: Gap(2, 7)}
    assert f"group {harness.group}: of {partition.topic}, partition 0, up to 5 records" in str(
        removed
    )
    assert [record.value for record in records] == [b"7", b"8", b"9"]


async def test_what_a_group_read_while_it_was_looked_at_is_not_missing(harness: Harness) -> None:
    """Records are removed behind a group that gets on; its offset was read before that."""
    log, partition = harness.log, harness.partition
    await log.reset_offsets(harness.group, {partition: 2})
    before = (await log.groups())[harness.group]
    await log.reset_offsets(harness.group, {partition: 6})
    await harness.remove(partition, 7)
    [row] = await group_rows(log, {harness.group: before})
    assert row["missing"] == 1


async def test_a_member_says_so_when_all_of_it_was_removed(harness: Harness) -> None:
    log, partition = harness.log, harness.partition
    await log.reset_offsets(harness.group, {partition: 2})
    await harness.remove(partition, 10)
    member = await log.join(harness.group, [partition.topic])

    async def read_on() -> None:
        while True:
            assert await member.read(100, 1.0) == []

    with pytest.raises(RecordsRemoved) as removed:
        await read_on()
    assert removed.value.gaps[partition].missing == 8
    await log.append(partition.topic, [Entry(b"k", b"next")])
    again, records = await first_words(member)
    await member.close()
    assert again is None
    assert [record.value for record in records] == [b"next"]


async def test_a_member_says_so_while_it_runs(harness: Harness) -> None:
    log, partition = harness.log, harness.partition
    member = await log.join(harness.group, [partition.topic])
    assert await first_words(member)
    await harness.remove(partition, 7)
    member.seek(partition, 4)
    removed, records = await first_words(member)
    await member.close()
    assert removed is not None
    assert removed.gaps == {partition: Gap(4, 7)}
    assert records[0].value == b"7"


async def test_a_topic_that_ends_before_the_groups_offset_was_made_again(harness: Harness) -> None:
    """It was handled again (Kafka) or never read (embedded) without a word."""
    log, partition = harness.log, harness.partition
    await log.reset_offsets(harness.group, {partition: 500})
    member = await log.join(harness.group, [partition.topic])
    removed, records = await first_words(member)
    await member.close()
    assert removed is not None
    assert removed.gaps == {partition: Gap(500, 0)}
    assert "ends before offset 500" in str(removed)
    assert len(records) == 10


@dataclass
class Collecting(ObservedGroup):
    """Collects what a group is told."""

    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.notices.append)


async def test_a_group_without_offsets_is_told_before_everything_is_handled(
    harness: Harness,
) -> None:
    """They expire after a week, or somebody deletes them."""
    log, partition = harness.log, harness.partition

    async def notices_of_a_start() -> list[Notice]:
        watch = Collecting()
        async with own_partitions(
            log, "acme", harness.group, [partition.topic], watch=watch
        ) as owned:
            records: list[Record] = []
            while not records:
                records = await owned.read(1, 1.0)
            async with owned.transaction(partition) as transaction:
                transaction.commit_offsets(harness.group, {partition: records[-1].offset + 1})
        return watch.notices

    notice, joined = await notices_of_a_start()
    assert isinstance(notice, GroupMoved)
    assert joined == GroupJoined(harness.group)
    assert (notice.group, notice.topic, notice.missing) == (harness.group, partition.topic, 0)
    assert "up to 10 records are handled from the beginning" in notice.reason
    assert await notices_of_a_start() == [GroupJoined(harness.group)]


async def test_what_was_removed_is_observed_and_the_rest_is_read(harness: Harness) -> None:
    log, partition = harness.log, harness.partition
    await log.reset_offsets(harness.group, {partition: 2})
    await harness.remove(partition, 7)
    watch = Collecting()
    records: list[Record] = []
    async with own_partitions(log, "acme", harness.group, [partition.topic], watch=watch) as owned:
        while not records:
            records = await owned.read(100, 1.0)
    [notice] = [each for each in watch.notices if isinstance(each, GroupMoved)]
    assert notice.missing == 5
    assert "it resumes at offset 7" in notice.reason
    assert records[0].offset == 7


def test_a_gap_never_counts_below_nothing() -> None:
    gaps: Mapping[TopicPartition, Gap] = {TopicPartition("t", 0): Gap(500, 0)}
    assert RecordsRemoved("g", gaps).gaps[TopicPartition("t", 0)].missing == 0


def test_each_topic_says_how_many_of_its_own_partitions_have_records() -> None:
    notices: list[Notice] = []
    counts = {TopicPartition("a", 0): 2, TopicPartition("a", 1): 3, TopicPartition("b", 0): 1}
    ObservedGroup(notices.append).begins("g", counts)
    reasons = [each.reason for each in notices if isinstance(each, GroupMoved)]
    assert ["in a (2 partitions" in reasons[0], "up to 5 records" in reasons[0]] == [True, True]
    assert "in b (1 partitions" in reasons[1]


async def test_a_reader_reports_what_was_removed_if_it_is_asked_to(harness: Harness) -> None:
    log, partition = harness.log, harness.partition
    await harness.remove(partition, 7)
    reader = await log.reader({partition: 2}, report_removed=True)

    removed, records = await first_words(reader)

    assert removed is not None
    assert removed.gaps == {partition: Gap(2, 7)}
    assert str(removed).startswith(f"reader: of {partition.topic}, partition 0, up to 5 records")
    assert [record.value for record in records] == [b"7", b"8", b"9"]
    assert reader.position(partition) == 10
    await reader.close()


async def test_a_reader_past_the_end_begins_again_if_it_reports(harness: Harness) -> None:
    """Its topic was made again: what it has is of another history."""
    log, partition = harness.log, harness.partition
    reader = await log.reader({partition: 500}, report_removed=True)

    removed, records = await first_words(reader)

    assert removed is not None
    assert removed.gaps == {partition: Gap(500, 0)}
    assert [record.value for record in records] == [b"%d" % number for number in range(10)]
    await reader.close()


async def test_a_reader_skips_what_was_removed_otherwise(harness: Harness) -> None:
    log, partition = harness.log, harness.partition
    await harness.remove(partition, 7)
    reader = await log.reader({partition: 2})

    removed, records = await first_words(reader)

    assert removed is None
    assert [record.value for record in records] == [b"7", b"8", b"9"]
    await reader.close()
