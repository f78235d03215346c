"""What `check` found: one thing, its place, and what fixes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import click

from bridge.cli.command_runner import print_json
from bridge.config import Problem
from bridge.model.redaction import redact

Severity = Literal["ok", "warning", "error", "configuration"]
#: A longer fix that `setup` can run is left to `setup --show`, so that nothing else is buried.
MAX_FIX_LINES, MAX_FIX_CHARACTERS = 12, 600
_MARKS = {"ok": "ok", "warning": "warning", "error": "wrong", "configuration": "wrong"}
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red", "configuration": "red"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`severity` ok, warning (works, but), error (something outside is wrong: exit code 1), or
    configuration (a file is wrong: exit code 2). `location` a file with its line, or what was asked;
    `fix` the exact statement that fixes it, `setup` whether `bridgectl setup` can run that.
    """

    severity: Severity
    area: str
    message: str
    location: str = ""
    hint: str = ""
    fix: str = ""
    setup: bool = False

    def row(self) -> dict[str, Any]:
        """For programs."""
        return {
            "severity": self.severity,
            "area": self.area,
            "location": self.location,
            "message": self.message,
            "hint": self.hint,
            "fix": self.fix,
            "setup_can_fix": self.setup,
        }


def result_of_problem(problem: Problem, severity: Severity = "configuration") -> CheckResult:
    """A problem of a file."""
    location = f"{problem.file}:{problem.line}" if problem.line else problem.file
    what = f"{problem.where}: {problem.what}" if problem.where else problem.what
    return CheckResult(severity, "configuration", what, location, problem.hint)


def exit_code(results: Iterable[CheckResult]) -> int:
    """2 when a file is wrong, 1 when something else is, 0 otherwise."""
    severities = {item.severity for item in results}
    if "configuration" in severities:
        return 2
    return 1 if "error" in severities else 0


def show(item: CheckResult, *, as_json: bool) -> None:
    """On stdout, as soon as it is known, without secrets: it has other systems' words in it."""
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
