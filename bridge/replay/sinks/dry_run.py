"""Counts the events of a replay and does nothing with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.log.port import TopicPartition
from bridge.replay.contract import ResumePoint, SelectedRecord
from bridge.replay.select import Selection


class DryRun:
    """A dry run: the events are counted, nothing is done with them."""

    tombstones = False

    async def open(self, selection: Selection) -> ResumePoint:
        """Always a new run."""
        return ResumePoint({}, selection)

    async def take(
        self, picked: Sequence[SelectedRecord], upto: Mapping[TopicPartition, int]
    ) -> None:
        """Nothing."""

    async def finish(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""
