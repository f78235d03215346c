"""What a test leaves behind fails it: asyncio tasks, threads, child processes, unclosed resources.

Each of them would otherwise show up in another test of the same process, or never. Looked at once
all fixtures of the test are torn down; fixtures of a module or of the session may keep what they
have, so that processes and threads that were there before the test are not its own.
"""

from __future__ import annotations

import asyncio
import asyncio.runners
import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.services.process import server_pids

GRACE_S: Final = float(os.environ.get("LEFTOVERS_GRACE_S", "10"))
"""How long a thread or a child may take to end on a busy machine after its test has ended."""

LAST_TURNS: Final = 20
"""Turns of a loop in which tasks may end that nobody has to wait for: one that was cancelled, and
asyncio's own, which close generators and refused connections.
"""


class Leftovers:
    """The plugin."""

    def __init__(self) -> None:
        self._tasks: list[str] = []
        self._unraisable: list[str] = []
        self._threads: set[threading.Thread] = set()
        self._children: set[int] = set()
        self._cancel_all_tasks: Callable[[asyncio.AbstractEventLoop], None] = (
            asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]
        )
        asyncio.runners._cancel_all_tasks = self._note_tasks  # type: ignore[attr-defined]

    def _note_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(LAST_TURNS):
            if not asyncio.all_tasks(loop):
                break
            loop.run_until_complete(asyncio.sleep(0))
        self._tasks += [f"task {task!r}" for task in asyncio.all_tasks(loop)]
        self._cancel_all_tasks(loop)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        # All that is there before a test is left out of the collection after it.
        gc.freeze()
        self._tasks.clear()
        self._threads = set(threading.enumerate())
        self._children = children()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        result = yield
        left = [*self._tasks, *self._left_threads(), *self._left_children(), *self._unclosed()]
        self._tasks.clear()
        if left:
            pytest.fail("left behind:\n" + "\n".join(left), pytrace=False)
        return result

    def _left_threads(self) -> Iterator[str]:
        deadline = time.monotonic() + GRACE_S
        for thread in set(threading.enumerate()) - self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                yield f"thread {thread.name}"

    def _left_children(self) -> Iterator[str]:
        deadline = time.monotonic() + GRACE_S
        while left := children() - self._children - server_pids:
            if time.monotonic() > deadline:
                yield from (f"process {pid}: {command_line(pid)}" for pid in sorted(left))
                return
            time.sleep(0.05)

    def _unclosed(self) -> list[str]:
        """What is only noticed once the collector finds it, such as an open connection."""
        unraisable: list[str] = []

        def note(error: Any) -> None:
            unraisable.append(f"{error.err_msg or 'ignored'} {error.object!r}: {error.exc_value!r}")

        before, sys.unraisablehook = sys.unraisablehook, note
        try:
            gc.collect()
        finally:
            sys.unraisablehook = before
        return unraisable


def children() -> set[int]:
    """The processes that this one has started and not waited for."""
    pids: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        # A thread that has ended by now leaves its children to the others, which are asked, too.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pids.update(map(int, path.read_text().split()))
    return pids


def command_line(pid: int) -> str:
    """What a process was started with; empty for one that has ended and wasn't waited for."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except FileNotFoundError:
        return ""
