"""Closing things, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack


async def close_all(*closings: Callable[[], Awaitable[object]] | None) -> None:
    """Call each in order, and wait for it; None stands for nothing to close.

    If one of them raises, or the caller is cancelled while it waits, the others are called all the
    same; the last error is raised, with those before it as its context.
    """
    async with AsyncExitStack() as stack:
        for close in reversed(closings):
            if close is not None:
                stack.push_async_callback(close)


async def close_in_thread(close: Callable[[], object]) -> None:
    """Call what closes something and blocks, in a thread, and wait for it.

    It is called also if the caller is cancelled before a thread is free for it: an `asyncio.to_thread`
    that hasn't begun is taken back then.
    """
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, close))
