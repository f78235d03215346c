"""What every command has in common: the configuration, output for people and programs, signals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bridge.config import Config, load
from bridge.model.canonical import plain

#: How long an orderly end may take before what is left is cancelled; people wait five seconds.
GRACE = 4.0

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def configuration(ctx: click.Context) -> Config:
    """The configuration that the command line names. Raises ConfigProblems."""
    return load(Path(ctx.find_root().obj))


def run_async(work: Callable[[asyncio.Event], Awaitable[int]], *, ends_itself: bool = False) -> int:
    """Run `work` and return its exit code; Ctrl-C and SIGTERM end it in order with 0.

    `work` gets an event that is set at the first signal. Work that `ends_itself` watches it and
    is cancelled only after `GRACE` seconds or at a second signal; other work is cancelled at once.
    """

    async def supervised() -> int:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        task = asyncio.ensure_future(work(stop))

        def on_signal() -> None:
            if stop.is_set() or not ends_itself:
                task.cancel()
            else:
                loop.call_later(GRACE, task.cancel)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        try:
            return await task
        except asyncio.CancelledError:
            if stop.is_set():
                return 0
            raise

    return asyncio.run(supervised())


def finish(code: int) -> None:
    """End the process with `code` where it is not zero."""
    if code:
        sys.exit(code)


def print_json(row: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    sys.stdout.write(json.dumps(plain(dict(row)), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, title: str = ""
) -> int:
    """Rows as JSON lines, or as a table for people. Returns how many there were."""
    rows = list(rows)
    if as_json:
        for row in rows:
            print_json(row)
        return len(rows)
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, box=None, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(column)) for column in columns))
    console = Console(soft_wrap=False)
    if rows:
        console.print(table)
    return len(rows)


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    shown = plain(value) if not isinstance(value, (str, int)) else value
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def _no_bar(done: int, total: int | None = None) -> None:
    """Where nobody watches, nothing is drawn."""
    del done, total


@contextlib.contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on a terminal, nothing elsewhere; yields `advance(done, total)`."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    if not sys.stderr.isatty():
        yield _no_bar
        return
    from rich.console import Console

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(title, total=total)

        def advance(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield advance
