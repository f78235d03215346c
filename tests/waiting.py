"""Waiting for what happens elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

WAIT_TIMEOUT_S = 60.0
"""Seconds after which nothing is expected any more. Several workers share two cores with the servers
that they start, so anything may take many times as long as alone; what comes isn't waited for.
"""
STOP_TIMEOUT_S = 20.0
"""Seconds that stand for the five in which a bridge promises to end: the machine may keep it from its
processor for longer. What it must not wait for goes on for a minute.
"""


async def until(condition: Callable[[], Any], seconds: float = WAIT_TIMEOUT_S) -> None:
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
    """Tell a part that runs to stop; it does so, or the test fails."""
    stop.set()
    await asyncio.wait([task], timeout=WAIT_TIMEOUT_S)
    assert task.done()
