"""What every command has in common: the configuration, the open bridge, signals, exit codes."""

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

#: How long an orderly end may take before what is left is cancelled; people wait five seconds, and
#: what is cancelled has to take its leave, too, on a busy machine.
GRACE_S = 3.0

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


class NothingFound(click.ClickException):
    """What was asked for is right but isn't there: exit code 3."""

    exit_code = NOTHING_FOUND

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.format_message(), err=True, file=file)


def load_configuration(ctx: click.Context, *, whole: bool = False) -> Config:
    """The configuration that the command line names. Raises ConfigProblems.

    `whole`: with the secrets of every system, needed or not.
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

    `work` gets an event that is set at the first signal. Work that `ends_itself` watches it and
    is cancelled only after `GRACE` seconds or at a second signal; other work is cancelled at
    once. Work `while_read` also ends when whoever read its output through a pipe has left. What
    has not ended in order within five seconds is cut off, with exit code 1: `cut_off` is told why
    (on stderr by default), in another thread. `ready` is handed, before `work` begins, what ends it as
    a signal would.
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
    """Call `end` once when the other side of a pipe on stdout is closed, as by `| head`."""
    try:
        file = sys.stdout.fileno()
    except (OSError, ValueError):  # a test's stdout is no file
        return
    if not stat.S_ISFIFO(os.fstat(file).st_mode):
        return

    def left() -> None:
        loop.remove_reader(file)
        end()

    # Nothing ever comes to read at this end: epoll wakes us for the error that the pipe has then.
    loop.add_reader(file, left)


def confirm(question: str) -> None:
    """Ask on stderr; raises click.Abort for a no. What asks has an option --yes for scripts."""
    try:
        yes = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise click.ClickException("nothing was done: nobody is there to ask; give --yes") from None
    if not yes:
        raise click.Abort


def finish(code: int) -> None:
    """End the process with `code` where it is not zero."""
    if code:
        sys.exit(code)


def leave(code: int) -> None:
    """As `finish`; at once where threads that something blocks would be waited for."""
    if owns_process() and has_busy_threads():
        leave_now(code)
    finish(code)
