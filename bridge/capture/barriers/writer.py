"""Writes barriers into the source alongside the stream, as soon as somebody asks."""

from __future__ import annotations

import asyncio

from bridge.capture.barriers.record import BarrierRecord
from bridge.capture.barriers.schedule import BarrierSchedule
from bridge.capture.contract import CaptureDependencies
from bridge.connector import Source
from bridge.model.errors import RetryLater


class BarrierWriter:
    """The barriers of one connection: `run` is a task of its own, the other methods are called by
    those that follow the control topic and the stream.

    connection: its name, unique among all connections ever made.
    """

    def __init__(self, deps: CaptureDependencies, source: Source, connection: str) -> None:
        capabilities = deps.connector.capabilities()
        self._deps = deps
        self._source = source
        self._possible = capabilities.snapshot
        self._schedule = BarrierSchedule(connection, polled=not capabilities.every_change)
        self._changed = asyncio.Event()

    def ask(self, request: str) -> None:
        """Somebody asked for a barrier. Ignored for a source that can't write watermarks, where nothing
        proves how fresh the log is.
        """
        if self._possible:
            self._schedule.ask(request)
            self._changed.set()

    async def run(self) -> None:
        """Write what is due, until it is cancelled."""
        while True:
            now = self._deps.monotonic()
            due = self._schedule.next_begin(now)
            if due is None:
                await self._changed.wait()
                self._changed.clear()
            elif due > now:
                await asyncio.sleep(due - now)
            else:
                await self._write(now)

    async def _write(self, now: float) -> None:
        barrier = self._schedule.begin(now)
        if barrier is None:
            return
        try:
            await self._source.write_watermark(barrier.name)
        except RetryLater:
            # Whether the connection is lost, or only a lock held by others, `read` finds out. Those who
            # ask get another barrier, or the legacy system's own answer.
            self._schedule.fail(barrier)
            await asyncio.sleep(self._deps.limits.backoff)

    def is_outstanding(self, name: str) -> bool:
        """Whether it is the name of a barrier that has not been recorded."""
        return self._schedule.is_outstanding(name)

    def pass_watermark(
        self, name: str, epoch: int, position: str, polls: int
    ) -> BarrierRecord | None:
        """As `BarrierSchedule.pass_watermark`."""
        self._changed.set()
        return self._schedule.pass_watermark(name, epoch, position, polls)

    def note_polls(self, polls: int, epoch: int, position: str) -> BarrierRecord | None:
        """As `BarrierSchedule.note_polls`."""
        record = self._schedule.note_polls(polls, epoch, position)
        if record is not None:
            self._changed.set()
        return record
