"""What all commands share: the configuration, the open bridge, signals, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from bridge.cli.output.rows import (
    NOTHING_FOUND,
    cell,
    print_json,
    print_listing,
    print_rows,
    progress,
)
from bridge.cli.startup_signals import owns_process, signal_received
from bridge.cli.stop_signals import StopSignals, has_busy_threads, leave_now

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.wiring import Bridge

__all__ = [
    "GRACE_S",
    "NOTHING_FOUND",
    "NothingFound",
    "as_json",
    "cell",
    "confirm",
    "finish",
    "leave",
    "load_configuration",
    "print_json",
    "print_listing",
    "print_rows",
    "progress",
    "run_async",
    "run_with_bridge",
]

#: How long an orderly shutdown may take before the rest is cancelled: people wait five seconds, and
#: #: cancelled work needs time to clean up, too, on a busy machine.
GRACE_S = 3.0

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


class NothingFound(click.ClickException):
    """The request is valid, but nothing matches it: exit code 3."""

    exit_code = NOTHING_FOUND

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.format_message(), err=True, file=file)


def load_configuration(ctx: click.Context, *, whole: bool = False) -> Config:
    """The configuration named on the command line. Raises ConfigProblems.

    `whole`: including the secrets of every system, needed or not.
    """
    from bridge.config import load

    return load(Path(ctx.find_root().obj), whole=whole)


def run_with_bridge(
    ctx: click.Context,
    work: Callable[[Bridge, asyncio.Event], Awaitable[int]],
    *,
    ends_itself: bool = False,
    while_read: bool = False,
) -> None:
    """Run `work` with the bridge open and end the process with its exit code; see `run_async`."""
    config = load_configuration(ctx)

    async def act(stop: asyncio.Event) -> int:
        from bridge.wiring import open_bridge

        async with open_bridge(config) as bridge:
            return await work(bridge, stop)

    finish(run_async(act, ends_itself=ends_itself, while_read=while_read))


def run_async(
    work: Callable[[asyncio.Event], Awaitable[int]],
    *,
    ends_itself: bool = False,
    while_read: bool = False,
    cut_off: Callable[[str], None] | None = None,
    ready: Callable[[Callable[[], None]], None] = lambda _: None,
) -> int:
    """Run `work` and return its exit code; Ctrl-C and SIGTERM end it in order with 0.

    `work`: is passed an event that is set at the first signal.
    `ends_itself`: the work watches that event and is cancelled only after `GRACE` seconds or at a
    second signal; other work is cancelled at once.
    `while_read`: the work also ends when the reader of its output closes the pipe.
    `cut_off`: called with the reason, in another thread, if the work has not ended in order within
    five seconds; the process then ends with exit code 1 (by default it prints to stderr).
    `ready`: called before `work` begins with a function that ends it as a signal would.
    """
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    running: list[asyncio.Future[int]] = []

    def cancel() -> None:
        for task in running:
            task.cancel()

    def end() -> None:
        if stop.is_set() or not ends_itself:
            cancel()
        else:
            loop.call_later(GRACE_S, cancel)
        stop.set()

    def from_thread() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(end)

    async def supervised() -> int:
        task = asyncio.ensure_future(work(stop))
        running.append(task)
        if stop.is_set() and not ends_itself:
            task.cancel()
        if while_read:
            _when_reader_leaves(loop, end)
        try:
            return await task
        except asyncio.CancelledError:
            if stop.is_set():
                return 0
            raise

    with (
        StopSignals(from_thread, from_thread, cut_off or _on_stderr) as signals,
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        ready(signals.begin)
        if signal_received():
            signals.begin()
        return runner.run(supervised())


def _on_stderr(why: str) -> None:
    click.echo(f"bridgectl {why}", err=True)


def _when_reader_leaves(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    """Call `end` once when the reader of a pipe on stdout closes it, as `| head` does."""
    try:
        file = sys.stdout.fileno()
    except (OSError, ValueError):  # a test's stdout is no file
        return
    if not stat.S_ISFIFO(os.fstat(file).st_mode):
        return

    def left() -> None:
        loop.remove_reader(file)
        end()

    # There is never anything to read at this end: epoll wakes us for the pipe's error state.
    loop.add_reader(file, left)


def confirm(question: str) -> None:
    """Ask on stderr; raises click.Abort for no. Commands that ask have an option --yes for
    scripts.
    """
    try:
        yes = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise click.ClickException(
            "nothing was done: there is no terminal to ask for confirmation; use --yes"
        ) from None
    if not yes:
        raise click.Abort


def finish(code: int) -> None:
    """End the process with `code` unless it is zero."""
    if code:
        sys.exit(code)


def leave(code: int) -> None:
    """As `finish`, but immediately if the interpreter would wait for blocked threads."""
    if owns_process() and has_busy_threads():
        leave_now(code)
    finish(code)
