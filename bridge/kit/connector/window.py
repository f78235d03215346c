"""A small reference of watermark snapshots, to hold a connector's parts against.

Netflix's DBLog: mark low, read a chunk, mark high; where the high mark stands in the stream, the
chunk's rows go in, less those whose key changed between the two marks. A chunk whose visibility
lacks a change that was streamed before its low mark is read again. The bridge's own algorithm,
which also resumes and reconciles, is `bridge.capture`.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from bridge.connector import READ, Chunk, Snapshot
from bridge.kit.connector.records import Told
from bridge.kit.connector.stream import PATIENCE, Stream


class Window:
    """Takes one table's snapshot while its stream is read; the history of both in log order."""

    def __init__(self, stream: Stream, snapshot: Snapshot, table: str, limit: int) -> None:
        self.history: list[Told] = []
        self.rows = 0
        self.chunks = 0
        self.read_again = 0
        self._stream = stream
        self._snapshot = snapshot
        self._table = table
        self._limit = limit
        self._marks = 0

    async def take(self) -> None:
        """The whole table, chunk by chunk."""
        after: list[Any] | None = None
        while True:
            chunk = await self._chunk(after)
            self.chunks += 1
            if chunk.last is None:
                return
            after = chunk.last

    async def _chunk(self, after: list[Any] | None) -> Chunk:
        deadline = time.monotonic() + PATIENCE
        while True:
            await self._mark()
            before_low = len(self._stream.changes)
            chunk = await self._snapshot.chunk(self._table, None, after, self._limit)
            assert len(chunk.rows) <= self._limit
            since = len(self.history)
            await self._mark()
            seen = chunk.visibility
            if seen is None or all(
                seen.contains(change.transaction.visibility)
                for change in self._stream.changes[:before_low]
            ):
                self._emit(chunk, {step.key for step in self.history[since:]})
                return chunk
            self.read_again += 1
            if time.monotonic() > deadline:
                pytest.fail("chunks never see what the stream told before their low watermark")

    async def _mark(self) -> None:
        """Write a watermark and read the stream up to it; what comes after it waits its turn."""
        self._marks += 1
        name = f"kit-{self._marks}"
        await self._stream.source.mark(name)
        deadline = time.monotonic() + PATIENCE
        while name not in self._stream.marks:
            # One change a batch keeps a batch from reaching beyond the mark.
            batch = await self._stream.read(1)
            self.history += self._stream.told[len(self._stream.told) - 0 :]
            del batch
            if time.monotonic() > deadline:
                pytest.fail(f"the watermark {name} did not come back")

    def _emit(self, chunk: Chunk, changed: set[tuple[Any, ...]]) -> None:
        records = self._stream.records
        for raw in chunk.rows:
            key = records.key(chunk.shape, raw)
            if key not in changed:
                self.history.append(Told(READ, key, None, records.row(chunk.shape, raw)))
                self.rows += 1
