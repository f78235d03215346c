"""What the gateways of running processes hold and how they fare, for `bridgectl status` in another
process: sections, each of which one piece of a gateway fills (its copy, its view, its limits, …).

They are part of the record that a process writes about itself (see `group_reports`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bridge.model.error_text import describe_error

MAX_SUMMARY: Final = 400
"""Characters of a summary or a problem."""
MAX_FACTS_BYTES: Final = 20_000
"""Of one section's facts as JSON; longer ones are left out, and the section says so."""


@dataclass(frozen=True, slots=True)
class GatewaySection:
    """What one piece of a system's gateway reports.

    summary: for people, one sentence without the system's name.
    facts: for programs; JSON values only.
    problem: why a person has to look at it; empty: nothing is wrong. It makes `status` unhealthy.
    """

    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """A section as another process reads it. `at`: of its process's report, microseconds since 1970.

    process: host, process id and chance.
    """

    system: str
    section: str
    process: str
    at: int
    summary: str
    facts: Mapping[str, Any]
    problem: str


class GatewayReports:
    """The sections of this process's gateways. Used by one event loop."""

    def __init__(self) -> None:
        self._sections: dict[tuple[str, str], Callable[[], GatewaySection]] = {}

    @contextmanager
    def section(self, system: str, name: str, read: Callable[[], GatewaySection]) -> Iterator[None]:
        """Report this section in the block: `read` is called for each report, must neither wait nor
        take long, and is reported as the section's problem if it raises. One of a name and system
        replaces that of before.
        """
        key = (system, name)
        self._sections[key] = read
        try:
            yield
        finally:
            if self._sections.get(key) is read:
                del self._sections[key]

    def __bool__(self) -> bool:
        """Whether there is anything to report."""
        return bool(self._sections)

    def dump(self) -> list[dict[str, Any]]:
        """As JSON has them, in order of system and section."""
        return [
            {"system": system, "section": name, **asdict(_bounded(_read(read)))}
            for (system, name), read in sorted(self._sections.items(), key=lambda each: each[0])
        ]


def _read(read: Callable[[], GatewaySection]) -> GatewaySection:
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - a report must not end what reports
        reason = f"its report failed, a defect: {describe_error(error)}"
        return GatewaySection("not reported", problem=reason)


def _bounded(section: GatewaySection) -> GatewaySection:
    """Without what would make the process's record too long, or unreadable."""
    try:
        size = len(json.dumps(section.facts))
        missing = "" if size <= MAX_FACTS_BYTES else f"its facts take {size} bytes as JSON"
    except (TypeError, ValueError, RecursionError) as error:
        missing = f"its facts are no JSON: {describe_error(error)}"
    return GatewaySection(
        section.summary[:MAX_SUMMARY],
        {"left_out": missing} if missing else dict(section.facts),
        section.problem[:MAX_SUMMARY],
    )


def load_gateway_report(each: Mapping[str, Any], process: str, at: int) -> GatewayReport:
    """Raises KeyError, ValueError, TypeError for what is none."""
    facts = each["facts"]
    if not isinstance(facts, dict):
        raise TypeError(f"the facts of section {str(each['section'])!r} are no JSON object")
    return GatewayReport(
        str(each["system"]),
        str(each["section"]),
        process,
        at,
        str(each["summary"])[:MAX_SUMMARY],
        facts,
        str(each["problem"])[:MAX_SUMMARY],
    )
