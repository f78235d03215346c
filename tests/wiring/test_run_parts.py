"""Parts side by side: what one's end means for the others."""

from __future__ import annotations

import asyncio

import pytest

from bridge.model.errors import ConfigurationError
from bridge.observe import Notice, PartState, both, ignore, unfailing
from bridge.wiring.run_parts import BridgePart, run_parts
from tests.hostile_values import TextlessError
from tests.waiting import until


def part(name: str, error: Exception | None, seen: list[str]) -> BridgePart:
    async def work(stop: asyncio.Event) -> None:
        if error is not None:
            raise error
        try:
            await stop.wait()
            seen.append(f"{name} stopped")
        except asyncio.CancelledError:
            seen.append(f"{name} cancelled")
            raise

    return BridgePart("agent", name, work)


async def test_a_part_that_gives_up_leaves_the_others_running() -> None:
    seen: list[str] = []
    stop = asyncio.Event()
    parts = [part("a", ConfigurationError("fix it"), seen), part("b", None, seen)]
    running = asyncio.ensure_future(run_parts(parts, stop, ignore))
    asyncio.get_running_loop().call_later(0.05, stop.set)
    ended = await running
    assert ended.failed == {"agent a": "fix it"}
    assert seen == ["b stopped"]


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("by zero"), TextlessError(), ExceptionGroup("g", [ValueError()])],
    ids=lambda error: type(error).__name__,
)
async def test_a_defect_ends_its_own_part_and_is_told(error: Exception) -> None:
    seen: list[str] = []
    notices: list[Notice] = []
    stop = asyncio.Event()
    running = asyncio.ensure_future(
        run_parts([part("b", None, seen), part("a", error, seen)], stop, notices.append)
    )
    await until(lambda: any(isinstance(n, PartState) and n.state == "failed" for n in notices))
    assert not running.done()
    stop.set()
    ended = await running
    assert seen == ["b stopped"]
    assert list(ended.failed) == ["agent a"]
    assert type(error).__name__ in ended.failed["agent a"]
    assert "test_run_parts.py" in ended.failed["agent a"]


async def test_a_part_that_something_it_waited_for_cancelled_has_failed() -> None:
    """A library that cancels the task it runs in must not look like an orderly end."""

    async def work(stop: asyncio.Event) -> None:
        raise asyncio.CancelledError

    ended = await run_parts([BridgePart("agent", "a", work)], asyncio.Event(), ignore)
    assert "CancelledError" in ended.failed["agent a"]


async def test_an_observer_that_fails_ends_nothing() -> None:
    """The log lines' reader has gone: a pipe that is closed raises at each of them."""
    seen: list[str] = []
    heard: list[Notice] = []

    def gone(notice: Notice) -> None:
        raise BrokenPipeError

    stop = asyncio.Event()
    observer = both(unfailing(gone), heard.append)
    running = asyncio.ensure_future(run_parts([part("a", None, seen)], stop, observer))
    await until(lambda: heard)
    stop.set()
    ended = await running
    assert (seen, ended.failed) == (["a stopped"], {})


async def test_each_part_that_gives_up_is_reported_after_its_reason() -> None:
    seen: list[str] = []
    stop = asyncio.Event()

    def observe(notice: Notice) -> None:
        if isinstance(notice, PartState) and notice.state == "failed":
            seen.append(notice.reason)

    def on_failure() -> None:
        seen.append("on_failure")
        stop.set()

    parts = [part("b", None, seen), part("a", ConfigurationError("fix it"), seen)]
    await run_parts(parts, stop, observe, on_failure)
    assert seen == ["fix it", "on_failure", "b stopped"]
