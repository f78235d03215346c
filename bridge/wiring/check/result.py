"""What `check` found: one thing, its place, and what fixes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bridge.config import Problem

Severity = Literal["ok", "warning", "error", "configuration"]


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
