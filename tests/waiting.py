"""Waiting for what happens elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for a condition, which may be a coroutine function; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        await asyncio.sleep(0.02)


async def ended(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Tell a part that runs to stop; it does so soon, or the test fails."""
    stop.set()
    await asyncio.wait([task], timeout=8)
    assert task.done()
