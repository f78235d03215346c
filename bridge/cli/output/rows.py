"""Rows for people (tables) and for programs (one JSON object per line), and progress bars."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.cli.output.safe_text import raw_stream, safe_text
from bridge.model.canonical import plain

if TYPE_CHECKING:
    from rich.console import Console


def print_json(row: Mapping[str, Any], *, flush: bool = True) -> None:
    """One JSON object on one line of stdout."""
    plain_row = plain(dict(row))
    # What stdout can't show it writes as JSON's own escapes (SafeWriter): half an emoji, any
    # character on a terminal that has only ASCII.
    sys.stdout.write(safe_text(json.dumps(plain_row, ensure_ascii=False)) + "\n")
    if flush:
        sys.stdout.flush()


def print_listing(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, nothing: str
) -> int:
    """Print a listing's rows; returns its exit code: 3, with `nothing` on stderr, if there are
    none.
    """
    if print_rows(rows, columns, as_json=as_json):
        return 0
    sys.stderr.write(f"{nothing}\n")
    return NOTHING_FOUND


def print_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, title: str = ""
) -> int:
    """Rows as JSON lines, or as a table of `columns` for people. Returns how many there were."""
    count = 0
    if as_json:
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the answer
            print_json(row, flush=False)
        sys.stdout.flush()
        return count
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, box=None, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the answer
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    if count:
        screen = console()
        with screen.capture() as drawn:
            screen.print(table)
        # Trailing padding would only make lines wrap, and interfere with `grep`.
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in drawn.get().splitlines())
        sys.stdout.flush()
    return count


def console(*, stderr: bool = False) -> Console:
    """A console that is wide unless a terminal limits it, so that files have no wrapped lines."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    stream = raw_stream(sys.stderr if stderr else sys.stdout)
    width = None if stream.isatty() else WIDE
    return Piped(file=stream, width=width, highlight=False)


NOTHING_FOUND = 3
#: Width of a table written to a file or a pipe.
WIDE = 200


def cell(value: Any) -> str:
    """A value as shown in a table, with question marks for lone surrogates."""
    return safe_text(_cell(value).encode(errors="replace").decode())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "-"
    plain_value = plain(value) if not isinstance(value, (str, int)) else value
    return (
        plain_value if isinstance(plain_value, str) else json.dumps(plain_value, ensure_ascii=False)
    )


def _no_bar(done: int, total: int | None = None) -> None:
    """Draw nothing without a terminal."""
    del done, total


@contextlib.contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on a terminal, nothing elsewhere; yields `advance(done, total)`."""
    if not sys.stderr.isatty():
        yield _no_bar
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
    ) as bar:
        task = bar.add_task(title, total=total)

        def advance(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield advance
