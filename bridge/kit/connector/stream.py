"""A Source read with patience, and what it told so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from bridge.connector import Batch, Change, Checkpoint, Source
from bridge.kit.connector.legacy import KEY, Create, Legacy
from bridge.kit.connector.load import order
from bridge.kit.connector.opening import PATIENCE, open_source
from bridge.kit.connector.records import Records, Told

LAST = 999_998
"""The number of a row that no load enters."""


class Border(NamedTuple):
    """Where a batch ended, and what had been told by then."""

    checkpoint: Checkpoint
    told: int


class Stream:
    """An open source of the suite's table."""

    def __init__(self, source: Source, records: Records, begun: Checkpoint) -> None:
        self.source = source
        self.records = records
        self.checkpoint = begun
        self.batches: list[Batch] = []
        self.changes: list[Change] = []
        self.told: list[Told] = []
        #: Changes and names of watermarks as they stand in the stream.
        self.log: list[Change | str] = []
        self.borders = [Border(begun, 0)]

    async def read(self, limit: int = 1000, timeout: float = 0.2) -> Batch:
        """One batch, remembered."""
        batch = await self.source.read(limit, timeout)
        assert len(batch.changes) <= limit, f"asked for {limit} changes, got {len(batch.changes)}"
        self.batches.append(batch)
        self.changes += batch.changes
        self.told += self.records.told(batch.changes)
        self.log += _in_order(batch)
        self.checkpoint = batch.checkpoint
        self.borders.append(Border(batch.checkpoint, len(self.told)))
        return batch

    async def until(self, count: int, limit: int = 1000) -> list[Told]:
        """Read until `count` steps were told; fails when they don't come."""
        deadline = time.monotonic() + PATIENCE
        while len(self.told) < count:
            if time.monotonic() > deadline:
                pytest.fail(f"the source told {len(self.told)} of {count}: {self.told[-3:]}")
            await self.read(limit)
        return self.told

    async def to_the_end(self, legacy: Legacy) -> list[Told]:
        """All that has happened: enters a last row, and reads on until that was told.

        However slow the machine; once a stream. Only for sources that tell every change.
        """
        last = order(LAST)
        await asyncio.to_thread(legacy.apply, Create(last))
        deadline = time.monotonic() + PATIENCE
        seen = 0
        while not any(step.key == (last[KEY],) for step in self.told[seen:]):
            seen = len(self.told)
            if time.monotonic() > deadline:
                pytest.fail(f"the source never told the last row: {self.told[-3:]}")
            await self.read()
        return await self.quiet()

    async def quiet(self, seconds: float = 0.5) -> list[Told]:
        """Read until nothing came for a while."""
        deadline = time.monotonic() + PATIENCE
        since = time.monotonic()
        while time.monotonic() - since < seconds:
            if (await self.read()).changes:
                since = time.monotonic()
            if time.monotonic() > deadline:
                pytest.fail("the source tells changes without end")
        return self.told


def _in_order(batch: Batch) -> list[Change | str]:
    found: list[Change | str] = []
    marks = list(batch.watermarks)
    assert [mark.at for mark in marks] == sorted(mark.at for mark in marks)
    for at, change in enumerate(batch.changes):
        while marks and marks[0].at == at:
            found.append(marks.pop(0).name)
        found.append(change)
    return [*found, *(mark.name for mark in marks)]


@asynccontextmanager
async def streaming(
    legacy: Legacy, after: Checkpoint | None = None, records: Records | None = None
) -> AsyncIterator[Stream]:
    """A stream of the suite's table, closed at the end. Needs the capability `capture`."""
    system = legacy.system()
    if records is None:
        records = Records((await legacy.connector.describe(system))[legacy.table])
    source, begun = await open_source(legacy, system, after)
    try:
        yield Stream(source, records, begun)
    finally:
        await source.close()
