"""Closing several things, whatever happens to one of them."""

from __future__ import annotations

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
