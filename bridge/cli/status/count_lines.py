"""What `status` counted, for people: what there is, and a word where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bridge.cli.output.durations import seconds_text
from bridge.cli.output.records import local_time
from bridge.cli.output.rows import print_rows
from bridge.wiring.status.counts import TIMED_OUT, BoundedCounts


def print_counts(commands: BoundedCounts, letters: BoundedCounts) -> None:
    """Print the counts for people, or that there are none."""
    busy = [
        {**row, "oldest_waits": seconds_text(row["oldest_waiting_seconds"])}
        for row in commands.rows
        if row["failed"] or row["unknown"] or row["waiting"]
    ]
    _print("commands", commands, busy, ("command", "failed", "unknown", "waiting", "oldest_waits"))
    for row in busy:
        if row["held_back_seconds"] is not None:
            since = seconds_text(row["held_back_seconds"])
            click.echo(f"{row['command']} is held back ({since}): {row['held_back_reason']}")
    total, *sources = letters.rows or ({"dead_letters": 0},)
    title = f"dead letters: {total['dead_letters']}" if sources else "dead letters"
    _print(title, letters, sources, ("source", "letter_kind", "dead_letters"))


def _print(
    title: str, counted: BoundedCounts, rows: Sequence[dict[str, Any]], columns: Sequence[str]
) -> None:
    bound = bound_text(counted)
    if not rows:
        nothing = "none failed, unknown or waiting" if title == "commands" else "none"
        parts = [bound] if counted.timed_out else [nothing, bound]
        click.echo(f"\n{title}: {'; '.join(filter(None, parts))}")
        return
    click.echo(f"\n{title}")
    print_rows(rows, columns, as_json=False)
    if bound:
        click.echo(bound)


def bound_text(counted: BoundedCounts) -> str:
    """What the counts leave out; empty where nothing."""
    if counted.timed_out:
        return TIMED_OUT
    if counted.since is None:
        return ""
    return f"only what came since {local_time(counted.since)} was counted, there may be more"
