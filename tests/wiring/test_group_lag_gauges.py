"""The gauges of lag: what is not known is never told as 0, and asking costs the log little."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Consumer, Entry, Log, TopicInfo, TopicPartition, TopicSpec
from bridge.model.errors import RetryLater
from bridge.wiring.group_lag_gauges import KNOWN_FOR_S, GroupLagGauges
from tests.waiting import until

GROUP, TOPIC = "acme.agent.watch", "acme.erp.thing"
PLACES = [TopicPartition(TOPIC, number) for number in range(2)]


class CountingLog:
    """A log that counts what it is asked, and may be away."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.topic_requests: list[str] = []
        self.away = False

    def _note(self, question: str) -> None:
        self.topic_requests.append(question)
        if self.away:
            raise RetryLater("the log is away")

    async def topics(self) -> Mapping[str, TopicInfo]:
        self._note("topics")
        return await self._log.topics()

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        self._note("committed")
        return await self._log.committed(group, partitions)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        self._note("end_offsets")
        return await self._log.end_offsets(partitions)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        self._note("beginning_offsets")
        return await self._log.beginning_offsets(partitions)

    async def reader(
        self, offsets: Mapping[TopicPartition, int], *, report_removed: bool = False
    ) -> Consumer:
        self._note("reader")
        return await self._log.reader(offsets, report_removed=report_removed)


class LagClock:
    """Seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    yield log
    await log.close()


def gauges(clock: LagClock | None = None) -> tuple[GroupLagGauges, CollectorRegistry]:
    registry = CollectorRegistry()
    return GroupLagGauges(registry, {GROUP: [TOPIC]}, clock or LagClock()), registry


def lag(registry: CollectorRegistry, partition: int = 0) -> float | None:
    labels = {"group": GROUP, "topic": TOPIC, "partition": str(partition)}
    return registry.get_sample_value("bridge_group_lag_records", labels)


def lag_is_known(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("bridge_group_lag_known", {"group": GROUP})


async def filled(log: Log) -> None:
    await log.create_topics([TopicSpec(TOPIC, partitions=2)])
    await log.append(TOPIC, [Entry(b"k", b"v", partition=0) for _ in range(5)])


async def test_a_group_without_offsets_has_all_of_its_topic_to_read(log: Log) -> None:
    await filled(log)
    measured, registry = gauges()
    await measured.measure(log)
    assert (lag(registry, 0), lag(registry, 1), lag_is_known(registry)) == (5, 0, 1)
    await log.reset_offsets(GROUP, {PLACES[0]: 3})
    await measured.measure(log)
    assert lag(registry) == 2


async def test_before_its_topics_are_there_nothing_is_known(log: Log) -> None:
    measured, registry = gauges()
    await measured.measure(log)
    assert (lag(registry), lag_is_known(registry)) == (None, 0)


async def test_a_lag_that_cannot_be_measured_any_more_is_no_number(log: Log) -> None:
    await filled(log)
    clock = LagClock()
    measured, registry = gauges(clock)
    await measured.measure(log)
    clock.now = KNOWN_FOR_S + 1
    assert math.isnan(lag(registry) or 0)
    assert lag_is_known(registry) == 0


async def test_a_log_that_goes_away_and_comes_back_is_measured_again(log: Log) -> None:
    await filled(log)
    measured, registry = gauges()
    counting: Any = CountingLog(log)
    counting.away = True
    measuring = asyncio.create_task(measured.measure_on_and_on(counting))
    await until(lambda: counting.topic_requests)
    assert lag_is_known(registry) == 0
    counting.away = False
    await until(lambda: lag_is_known(registry) == 1)
    measuring.cancel()
    await asyncio.wait([measuring])


async def test_where_nothing_happens_three_questions_are_all_that_is_asked(log: Log) -> None:
    """However small the lag is: what was counted once isn't read again."""
    await filled(log)
    await log.reset_offsets(GROUP, {PLACES[0]: 4})
    measured, registry = gauges()
    counting: Any = CountingLog(log)
    await measured.measure(counting)
    counting.topic_requests.clear()
    await measured.measure(counting)
    assert sorted(counting.topic_requests) == ["beginning_offsets", "committed", "end_offsets"]
    assert lag(registry) == 1
