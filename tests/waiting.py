"""Waiting for what happens elsewhere."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
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
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        await asyncio.sleep(0.02)


async def ended(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Tell a part that runs to stop; it does so, or the test fails."""
    stop.set()
    await asyncio.wait([task], timeout=WAIT_TIMEOUT_S)
    assert task.done()


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    text = Path(f"/proc/{pid}/status").read_text()
    # A process that has ended and wasn't waited for has no such line.
    masks = [line.split()[1] for line in text.splitlines() if line.startswith("SigCgt:")]
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def end_in_order(process: subprocess.Popen[Any], seconds: float = WAIT_TIMEOUT_S) -> int:
    """SIGTERM to a program of ours; its exit code. One that is still starting is waited for: until it
    handles the signal, the signal kills it.
    """
    deadline = time.monotonic() + seconds
    while process.poll() is None and not catches(process.pid, signal.SIGTERM):
        assert time.monotonic() < deadline, f"handles no SIGTERM after {seconds} s"
        time.sleep(0.02)
    process.terminate()
    return process.wait(seconds)
