"""The watch over a handlers' loop, whose thread goes on while it is looked at."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from bridge.agent.blocked_loop import BlockedLoopWatch
from bridge.agent.mailbox import Mailbox
from bridge.observe import ignore


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_a_loop_that_answers_while_it_is_looked_at_ends_no_watch() -> None:
    """The watch ended without a word, and no handler that blocks was reported any more."""
    loop = asyncio.new_event_loop()
    # A clock so fast that each answer is late, and that few of them are within the window.
    watch = BlockedLoopWatch(
        "agent", (), 0, Mailbox(loop), observer=ignore, clock=lambda: monotonic() * 1000
    )
    stop = threading.Event()

    def answer() -> None:
        while not stop.is_set():
            watch._sent_at = 0.0
            watch._answer()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        deadline = monotonic() + 1
        while monotonic() < deadline:
            watch.poll()
    finally:
        stop.set()
        thread.join()
        loop.close()
