"""Waiting for what happens elsewhere: `until` within a loop of asyncio, `wait_until` without one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

WAIT_TIMEOUT_S = 60.0
"""Seconds after which nothing is expected any more. Several workers share two cores with the servers
that they start, so anything may take many times as long as alone; what comes isn't waited for.
"""
STOP_TIMEOUT_S = 20.0
"""Seconds that stand for the five in which a bridge promises to end: the machine may keep it from its
processor for longer. What it must not wait for goes on for a minute.
"""
POLL_INTERVAL_S = 0.02
"""Pause between two checks of a condition."""
LONGEST_PAUSE_S = 1.0

T = TypeVar("T")


async def until(
    condition: Callable[[], Any],
    seconds: float = WAIT_TIMEOUT_S,
    *,
    describe: Callable[[], object] = str,
) -> None:
    """Wait until a condition is true, which may be a coroutine function. After `seconds` it fails with
    what `describe` returns.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        _check_deadline(deadline, seconds, describe)
        await asyncio.sleep(POLL_INTERVAL_S)


def wait_until(
    condition: Callable[[], T | None],
    seconds: float = WAIT_TIMEOUT_S,
    *,
    interval: float = POLL_INTERVAL_S,
    describe: Callable[[], object] = str,
) -> T:
    """As `until`, where there is no loop; returns the condition's value. `interval` is the shortest pause between two checks.

    A pause takes twice as long as the check did: `bridgectl status` without a pause would keep the
    processor from the bridge that it waits for.
    """
    deadline = time.monotonic() + seconds
    while True:
        checked_at = time.monotonic()
        if value := condition():
            return value
        _check_deadline(deadline, seconds, describe)
        check_s = time.monotonic() - checked_at
        time.sleep(min(max(interval, 2 * check_s), LONGEST_PAUSE_S))


def _check_deadline(deadline: float, seconds: float, describe: Callable[[], object]) -> None:
    assert time.monotonic() < deadline, f"waited {seconds} s in vain\n{describe()}"


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
    wait_until(
        lambda: process.poll() is not None or catches(process.pid, signal.SIGTERM),
        seconds,
        describe=lambda: "handles no SIGTERM",
    )
    process.terminate()
    return process.wait(seconds)
