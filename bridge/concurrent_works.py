"""Works that run side by side, and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_to_end(*works: Coroutine[Any, Any, Any]) -> None:
    """Run all until one ends or raises, cancel the others in order, and raise its error."""
    await _together(works, asyncio.FIRST_COMPLETED)


async def first_to_raise(*works: Coroutine[Any, Any, Any]) -> None:
    """Run all until one raises, cancel the others in order, and raise that error."""
    await _together(works, asyncio.FIRST_EXCEPTION)


async def _together(works: tuple[Coroutine[Any, Any, Any], ...], until: str) -> None:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=until)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
