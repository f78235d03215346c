"""The findings of `check`, as lines and as an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import click

from bridge.cli.command_runner import print_json
from bridge.model.redaction import redact
from bridge.wiring.check.result import CheckResult

#: A longer fix that `setup` can run is only shown by `setup --show`, to keep the output readable.
MAX_FIX_LINES, MAX_FIX_CHARACTERS = 12, 600
_MARKS = {"ok": "ok", "warning": "warning", "error": "wrong", "configuration": "wrong"}
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red", "configuration": "red"}


def exit_code(results: Iterable[CheckResult]) -> int:
    """2 if a file is wrong, 1 if something else is, 0 otherwise."""
    severities = {item.severity for item in results}
    if "configuration" in severities:
        return 2
    return 1 if "error" in severities else 0


def show(item: CheckResult, *, as_json: bool) -> None:
    """Print it to stdout immediately, without secrets, because it quotes other systems'
    messages.
    """
    item = replace(
        item,
        message=redact(item.message),
        location=redact(item.location),
        hint=redact(item.hint),
        fix=redact(item.fix),
    )
    if as_json:
        print_json(item.row())
        return
    mark = click.style(f"{_MARKS[item.severity]:<8}", fg=_COLOURS[item.severity])
    location = f"{item.location}: " if item.location else ""
    hint = f" ({item.hint})" if item.hint else ""
    click.echo(f"{mark} {location}{item.message}{hint}")
    for line in fix_lines(item):
        click.echo(click.style(f"           {line}", fg="cyan"))


def fix_lines(item: CheckResult) -> list[str]:
    """The statement that fixes it, or, of a long script that `setup` can run, how to see it."""
    lines = item.fix.splitlines()
    if item.setup and (len(lines) > MAX_FIX_LINES or len(item.fix) > MAX_FIX_CHARACTERS):
        system = item.location.removeprefix("system ")
        return [f"bridgectl setup {system} --show     # {len(lines)} lines of SQL"]
    return lines
