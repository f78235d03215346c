"""Watermarks that a polling source has not emitted yet."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bridge.connector import Watermark


class PendingWatermarks:
    """Names in the order of their requests. A request ends the wait for the next poll."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._wakeup = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, name: str) -> None:
        """As `bridge.connector.Source.mark`."""
        self._names.append(name)
        self._wakeup.set()

    def take(self, after_changes: int) -> list[Watermark]:
        """All of them, after that many changes of the batch; they are not pending any more."""
        names, self._names = self._names, []
        return [Watermark(after_changes, name, 0) for name in names]

    async def wait(self, timeout_s: float) -> None:
        """Return after `timeout_s`, or as soon as a watermark is pending."""
        self._wakeup.clear()
        if self._names:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wakeup.wait(), timeout_s)
