"""A Source that is read with long timeouts, and what it streamed so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from bridge.connector import Batch, Change, Checkpoint, Source
from bridge.kit.connector.legacy import KEY, Create, LegacySystem
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S, open_source
from bridge.kit.connector.random_load import order
from bridge.kit.connector.records import HistoryStep, RecordDecoder

LAST_ORDER = 999_998
"""The number of a row that no load enters."""


class BatchEnd(NamedTuple):
    """The checkpoint at the end of a batch, and how many history steps there were by then."""

    checkpoint: Checkpoint
    steps: int


class RecordedStream:
    """An open source of the suite's table."""

    def __init__(
        self, source: Source, records: RecordDecoder, start_checkpoint: Checkpoint
    ) -> None:
        self.source = source
        self.records = records
        self.checkpoint = start_checkpoint
        self.batches: list[Batch] = []
        self.changes: list[Change] = []
        self.steps: list[HistoryStep] = []
        #: Changes and names of watermarks in the order of the stream.
        self.log: list[Change | str] = []
        self.batch_ends = [BatchEnd(start_checkpoint, 0)]

    async def read(self, limit: int = 1000, timeout: float = 0.2) -> Batch:
        """One batch, remembered."""
        batch = await self.source.read(limit, timeout)
        assert len(batch.changes) <= limit, f"asked for {limit} changes, got {len(batch.changes)}"
        self.batches.append(batch)
        self.changes += batch.changes
        self.steps += self.records.steps(batch.changes)
        self.log += _in_order(batch)
        self.checkpoint = batch.checkpoint
        self.batch_ends.append(BatchEnd(batch.checkpoint, len(self.steps)))
        return batch

    async def until(self, count: int, limit: int = 1000) -> list[HistoryStep]:
        """Read until there are `count` history steps; fails when they don't come."""
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while len(self.steps) < count:
            if time.monotonic() > deadline:
                pytest.fail(f"the source streamed {len(self.steps)} of {count}: {self.steps[-3:]}")
            await self.read(limit)
        return self.steps

    async def to_the_end(self, legacy: LegacySystem) -> list[HistoryStep]:
        """All that has happened: enters a last row, and reads until that was streamed.

        However slow the machine; once per stream. Only for sources with `every_change`.
        """
        last = order(LAST_ORDER)
        await asyncio.to_thread(legacy.apply, Create(last))
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        seen = 0
        while not any(step.key == (last[KEY],) for step in self.steps[seen:]):
            seen = len(self.steps)
            if time.monotonic() > deadline:
                pytest.fail(f"the source never streamed the last row: {self.steps[-3:]}")
            await self.read()
        return await self.quiet()

    async def quiet(self, seconds: float = 0.5) -> list[HistoryStep]:
        """Read until nothing came for a while."""
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        since = time.monotonic()
        while time.monotonic() - since < seconds:
            if (await self.read()).changes:
                since = time.monotonic()
            if time.monotonic() > deadline:
                pytest.fail("the source streams changes without end")
        return self.steps


def _in_order(batch: Batch) -> list[Change | str]:
    items: list[Change | str] = []
    marks = list(batch.watermarks)
    assert [mark.at for mark in marks] == sorted(mark.at for mark in marks)
    for at, change in enumerate(batch.changes):
        while marks and marks[0].at == at:
            items.append(marks.pop(0).name)
        items.append(change)
    return [*items, *(mark.name for mark in marks)]


@asynccontextmanager
async def streaming(
    legacy: LegacySystem, after: Checkpoint | None = None, records: RecordDecoder | None = None
) -> AsyncIterator[RecordedStream]:
    """A stream of the suite's table, closed at the end. Needs the capability `capture`."""
    system = legacy.system()
    if records is None:
        records = RecordDecoder((await legacy.connector.describe(system))[legacy.table])
    source, begun = await open_source(legacy, system, after)
    try:
        yield RecordedStream(source, records, begun)
    finally:
        await source.close()
