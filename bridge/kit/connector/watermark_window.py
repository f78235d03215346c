"""A small reference of watermark snapshots, to hold a connector's parts against.

Netflix's DBLog: low watermark, read a chunk, high watermark; where the high watermark is in the stream, the
chunk's rows go in, less those whose key changed between the two marks. A chunk whose visibility
is missing a change that was streamed before its low watermark is read again. The bridge's own algorithm,
which also resumes and reconciles, is `bridge.capture`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from bridge.connector import READ, Change, Chunk, Snapshot
from bridge.kit.connector.legacy import LegacySystem
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S
from bridge.kit.connector.random_load import LoadThread
from bridge.kit.connector.records import HistoryStep, Record
from bridge.kit.connector.stream import RecordedStream


class WatermarkWindow:
    """Takes one table's snapshot while its stream is read; `history` is both in log order."""

    def __init__(self, stream: RecordedStream, snapshot: Snapshot, table: str, limit: int) -> None:
        self.history: list[HistoryStep] = []
        self.rows = 0
        self.chunks = 0
        self.read_again = 0
        self._stream = stream
        self._snapshot = snapshot
        self._table = table
        self._limit = limit
        self._marks = 0
        self._at = 0
        self._unproven: set[int] = set()

    async def take(self) -> None:
        """The whole table, chunk by chunk."""
        after: list[Any] | None = None
        while True:
            chunk = await self._chunk(after)
            self.chunks += 1
            if chunk.last is None:
                return
            after = chunk.last

    def catch_up(self) -> None:
        """Add what was streamed since the last watermark."""
        self._follow(len(self._stream.log))

    async def _chunk(self, after: list[Any] | None) -> Chunk:
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while True:
            await self._mark()
            before_low = set(self._unproven)
            chunk = await self._snapshot.chunk(self._table, None, after, self._limit)
            assert len(chunk.rows) <= self._limit
            rows = [self._stream.records.row(chunk.shape, raw) for raw in chunk.rows]
            since = len(self.history)
            await self._mark()
            seen = chunk.visibility
            if seen is None or all(seen.contains(transaction) for transaction in before_low):
                self._unproven -= before_low
                self._emit(chunk, rows, {step.key for step in self.history[since:]})
                return chunk
            self.read_again += 1
            if time.monotonic() > deadline:
                pytest.fail("chunks never see what was streamed before their low watermark")

    async def _mark(self) -> None:
        """Write a watermark and follow the stream up to it; what comes after it waits."""
        self._marks += 1
        name = f"kit-{self._marks}"
        await self._stream.source.write_watermark(name)
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while name not in self._stream.log[self._at :]:
            await self._stream.read()
            if time.monotonic() > deadline:
                pytest.fail(f"the watermark {name} did not come back")
        self._follow(self._stream.log.index(name, self._at) + 1)

    def _follow(self, upto: int) -> None:
        for item in self._stream.log[self._at : upto]:
            if isinstance(item, Change):
                self._unproven.add(item.transaction.visibility)
                self.history += self._stream.records.steps([item])
        self._at = upto

    def _emit(self, chunk: Chunk, rows: list[Record], changed: set[tuple[Any, ...]]) -> None:
        for raw, row in zip(chunk.rows, rows, strict=True):
            key = self._stream.records.key(chunk.shape, raw)
            if key not in changed:
                self.history.append(HistoryStep(READ, key, None, row))
                self.rows += 1


async def snapshot_under_load(
    stream: RecordedStream, legacy: LegacySystem, load: LoadThread
) -> WatermarkWindow:
    """Take the table's snapshot in small chunks while `load` changes it, and wait for the load's end.

    What was streamed since the last watermark is not in the history yet (`WatermarkWindow.catch_up`).
    """
    snapshot = await legacy.connector.snapshot(legacy.system())
    window = WatermarkWindow(stream, snapshot, legacy.table, limit=7)
    load.start()
    await window.take()
    await asyncio.to_thread(load.end)
    await snapshot.close()
    return window
