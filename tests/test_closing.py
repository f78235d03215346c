"""Everything is closed, whatever happens to one of them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.closing import close_all, close_in_thread


class Closings:
    """Counts what was closed; `broken` raises, `slow` waits until it is let go."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.slow_waits = asyncio.Event()
        self.let_go = asyncio.Event()

    async def first(self) -> None:
        self.closed.append("first")

    async def broken(self) -> None:
        self.closed.append("broken")
        raise OSError("no route")

    async def slow(self) -> None:
        self.slow_waits.set()
        await self.let_go.wait()
        self.closed.append("slow")

    async def last(self) -> None:
        self.closed.append("last")


async def test_in_order_and_without_what_there_is_not() -> None:
    closings = Closings()
    await close_all(closings.first, None, closings.last)
    assert closings.closed == ["first", "last"]


async def test_one_that_fails_keeps_no_other_open_and_is_raised() -> None:
    closings = Closings()
    with pytest.raises(OSError, match="no route"):
        await close_all(closings.broken, closings.first, closings.last)
    assert closings.closed == ["broken", "first", "last"]


async def test_who_is_cancelled_while_one_is_closed_closes_the_others() -> None:
    closings = Closings()
    closing = asyncio.create_task(close_all(closings.slow, closings.first, closings.last))
    await closings.slow_waits.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert closings.closed == ["first", "last"]


async def test_what_blocks_is_closed_also_if_its_caller_is_cancelled_before_a_thread_is_free() -> (
    None
):
    busy, closed = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    occupied = loop.run_in_executor(None, busy.wait)
    closing = asyncio.create_task(close_in_thread(closed.set))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    busy.set()
    await occupied
    await loop.run_in_executor(None, closed.wait)
