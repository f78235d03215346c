"""The lag of this process's consumer groups, measured at intervals: a scrape makes no request to a
broker.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from bridge.log.group_lag import Committed, CountCache, PartitionLag, partition_lags
from bridge.log.port import Log, TopicPartition

MEASURE_EVERY_S: Final = 15.0
FIRST_MEASURE_S: Final = 1.0
"""While something isn't known yet, such as at the start, it is measured sooner, ever less so."""
MEASURE_TIMEOUT_S: Final = 30.0
KNOWN_FOR_S: Final = 60.0
"""Older figures are no longer reported."""
COUNTED_OFFSETS: Final = 10
"""Up to so many offsets are counted record by record: enough for the marks of transactions."""


class GroupLagGauges:
    """Lag of each group in each partition. `topics` are those that each group reads."""

    def __init__(
        self,
        registry: CollectorRegistry,
        topics: Mapping[str, Sequence[str]],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._partitions: dict[str, int] = {}
        self._counts: CountCache = {}
        self._lags: dict[str, dict[TopicPartition, int]] = {}
        self._measured_at: dict[str, float] = {}
        self._records = Gauge(
            "bridge_group_lag_records",
            "Records that the group hasn't handled yet; NaN: not known",
            ["group", "topic", "partition"],
            registry=registry,
        )
        lag_known = Gauge(
            "bridge_group_lag_known",
            "1 while the lag of the group could be measured",
            ["group"],
            registry=registry,
        )
        for group in topics:
            lag_known.labels(group).set_function(partial(self.is_known, group))

    def is_known(self, group: str) -> bool:
        """Whether the lag of this group was measured lately."""
        measured_at = self._measured_at.get(group)
        return measured_at is not None and self._clock() - measured_at <= KNOWN_FOR_S

    def records(self, group: str, partition: TopicPartition) -> float:
        """The lag of this group there, NaN where it isn't known."""
        return self._lags[group][partition] if self.is_known(group) else math.nan

    async def measure_on_and_on(self, log: Log) -> None:
        """Measure until cancelled. An unavailable log makes lags unknown, but ends nothing."""
        pause = FIRST_MEASURE_S
        while True:
            try:
                async with asyncio.timeout(MEASURE_TIMEOUT_S):
                    await self.measure(log)
            except Exception:  # noqa: BLE001 - the gauge of what is known says so; other parts say why
                self._measured_at.clear()
            everything = len(self._measured_at) == len(self._topics)
            pause = MEASURE_EVERY_S if everything else min(2 * pause, MEASURE_EVERY_S)
            await asyncio.sleep(pause)

    async def measure(self, log: Log) -> None:
        """Measure once: one question for the offsets of each group and two for the ends of all.
        Groups whose topics aren't all there stay unknown. Raises what the log raises.
        """
        wanted = {topic for topics in self._topics.values() for topic in topics}
        if wanted - self._partitions.keys():
            topic_infos = await log.topics()
            self._partitions = {
                topic: topic_infos[topic].partitions for topic in wanted & topic_infos.keys()
            }
        committed: dict[str, Committed] = {}
        for group, topics in self._topics.items():
            if self._partitions.keys() >= set(topics):
                committed[group] = await log.committed(group, self._places(topics))
        lags = await partition_lags(log, committed, COUNTED_OFFSETS, self._counts)
        self.note(lags, committed.keys())

    def _places(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [
            TopicPartition(topic, number)
            for topic in topics
            for number in range(self._partitions[topic])
        ]

    def note(self, lags: Iterable[PartitionLag], groups: Iterable[str]) -> None:
        """These were measured just now; of other groups nothing is known."""
        for lag in lags:
            offsets = self._lags.setdefault(lag.group, {})
            if lag.partition not in offsets:
                offsets[lag.partition] = lag.records
                series = self._records.labels(
                    lag.group, lag.partition.topic, lag.partition.partition
                )
                series.set_function(partial(self.records, lag.group, lag.partition))
            offsets[lag.partition] = lag.records
        self._measured_at = dict.fromkeys(groups, self._clock())
