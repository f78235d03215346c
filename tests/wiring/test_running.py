"""Parts side by side: what one's end means for the others."""

from __future__ import annotations

import asyncio

import pytest

from bridge.model.errors import ConfigurationError
from bridge.observe import ignore
from bridge.wiring.running import Part, run


def part(name: str, error: Exception | None, seen: list[str]) -> Part:
    async def work(stop: asyncio.Event) -> None:
        if error is not None:
            raise error
        try:
            await stop.wait()
            seen.append(f"{name} stopped")
        except asyncio.CancelledError:
            seen.append(f"{name} cancelled")
            raise

    return Part("agent", name, work)


async def test_a_part_that_gives_up_leaves_the_others_running() -> None:
    seen: list[str] = []
    stop = asyncio.Event()
    parts = [part("a", ConfigurationError("mend it"), seen), part("b", None, seen)]
    running = asyncio.ensure_future(run(parts, stop, ignore))
    asyncio.get_running_loop().call_later(0.05, stop.set)
    ended = await running
    assert ended.failed == {"agent a": "mend it"}
    assert seen == ["b stopped"]


async def test_a_defect_ends_the_others_and_is_raised() -> None:
    seen: list[str] = []
    parts = [part("b", None, seen), part("a", ZeroDivisionError(), seen)]
    with pytest.raises(ExceptionGroup) as caught:
        await run(parts, asyncio.Event(), ignore)
    assert caught.group_contains(ZeroDivisionError)
    assert seen == ["b cancelled"]
