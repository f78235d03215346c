"""Topics: created once, listed with what they are, never with another number of partitions."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.kit.log.harness import WAIT_TIMEOUT_S, LogHarness, from_beginning, read_count, topic
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError

DAY_MS = 86_400_000


class TopicSuite(LogHarness):
    """What `create_topics` and `topics` promise."""

    async def test_topics_are_listed_as_they_were_created(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        specs = [
            TopicSpec(under_test.name("compact"), "compact", 3, history_ms=30 * DAY_MS),
            TopicSpec(under_test.name("kept"), "delete", 1),
            TopicSpec(under_test.name("forgotten"), "delete", 2, retention_ms=DAY_MS),
            TopicSpec(f"_{under_test.name('internal')}", "compact", 1),
        ]

        await log.create_topics(specs)

        topics = await log.topics()
        for spec in specs:
            seen = topics[spec.name]
            assert seen.partitions == spec.partitions
            assert seen.spec.cleanup == spec.cleanup
            assert seen.spec.retention_ms == spec.retention_ms
            if spec.history_ms is not None:
                assert seen.spec.history_ms == spec.history_ms

    async def test_creating_again_changes_nothing(self, log: Log, under_test: LogUnderTest) -> None:
        name = await topic(log, under_test.name("again"), 2)
        await log.append(name, [Entry(b"k", b"v")])

        await log.create_topics([TopicSpec(name, partitions=2), TopicSpec(name)])

        assert (await log.topics())[name].partitions == 2
        reader = await log.reader(from_beginning(name, 2))
        await read_count(reader, 1)
        await reader.close()

    async def test_another_number_of_partitions_is_a_configuration_error(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("fixed"), 2)

        with pytest.raises(ConfigurationError, match=name):
            await log.create_topics([TopicSpec(name, partitions=3)])

        assert (await log.topics())[name].partitions == 2

    async def test_two_clients_may_create_the_same_topic_at_once(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = under_test.name("both")
        other = under_test.make()
        await other.open()

        await asyncio.gather(
            log.create_topics([TopicSpec(name, partitions=2)]),
            other.create_topics([TopicSpec(name, partitions=2)]),
        )

        assert (await log.topics())[name].partitions == 2
        await other.close()

    async def test_a_thousand_partitions_are_listed_and_read(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        names = [under_test.name(f"wide{at}") for at in range(4)]
        await log.create_topics([TopicSpec(name, partitions=250) for name in names])
        await log.append(names[3], [Entry(b"k", b"v", partition=249)])
        everything = [TopicPartition(name, at) for name in names for at in range(250)]
        began = time.monotonic()

        topics = await log.topics()
        ends = await log.end_offsets(everything)
        reader = await log.reader(await log.beginning_offsets(everything))
        records = await read_count(reader, 1)

        assert [topics[name].partitions for name in names] == [250] * 4
        assert len(ends) == 1000
        assert (records[0].topic, records[0].partition) == (names[3], 249)
        assert time.monotonic() - began < WAIT_TIMEOUT_S
        await reader.close()
