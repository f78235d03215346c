"""The limits of a system: those that its file sets, and its maker's published ones in place of the
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from bridge.config import SystemConfig
from bridge.connector import Connector, PublishedLimits, PublishesLimits, System
from bridge.model.specs import SystemLimits, WindowLimit
from bridge.wiring.check.result import CheckResult, result_of_problem

DEFAULT_LIMITS = SystemLimits()
_PHRASES = {
    "queries_per_second": "queries per second",
    "burst": "queries at once",
    "batch_operations": "operations per $batch",
    "rows_per_second": "rows per second",
    "max_rows": "rows per answer",
    "connections": "connections",
}


def published_limits(connector: Connector, system: System) -> PublishedLimits | None:
    """What the connector knows of this system's limits."""
    return connector.published_limits(system) if isinstance(connector, PublishesLimits) else None


def effective_limits(
    limits: SystemLimits, written: frozenset[str], published: PublishedLimits | None
) -> SystemLimits:
    """The limits that hold. Pure.

    limits, written: the file's, and which of them it sets itself. What is published stands in for
    the others; it lowers the default of `connections`, and never raises it: a published maximum is
    for all who use the same login.
    """
    if published is None:
        return limits
    changes: dict[str, Any] = {
        name: value for name, value in _stated(published.limits) if name not in written
    }
    if "connections" in changes:
        changes["connections"] = min(limits.connections, changes["connections"])
    return replace(limits, **changes)


def limit_findings(
    config: SystemConfig, connector: Connector, system: System
) -> Iterator[CheckResult]:
    """Which limits hold and where each is from; a warning for each that is above the published one."""
    written, published = config.spec.written_limits, published_limits(connector, system)
    stated = dict(_stated(published.limits)) if published is not None else {}
    phrases = []
    for name, value in _stated(system.limits, also="connections"):
        origin = "default"
        if name in written:
            origin = config.document.file
        elif stated.get(name) == value and published is not None:
            origin = f"published for {published.service}"
        phrases.append(f"{_phrase(name, value)} ({origin})")
    location = f"system {system.name}"
    yield CheckResult("ok", "system", f"limits of its reads: {', '.join(phrases)}", location)
    if published is None:
        return
    if published.page and any(name not in written for name in stated):
        what = f"published limits of {published.service}: {published.page}"
        note = f"; {published.note}" if published.note else ""
        yield CheckResult("ok", "system", f"{what}{note}", location)
    for name in sorted(written & stated.keys()):
        value = getattr(system.limits, name)
        if _exceeds(value, stated[name]):
            what = (
                f"{_phrase(name, value) or 'none'} is more than {published.service} publishes: "
                f"{_phrase(name, stated[name])}"
            )
            problem = config.document.problem(("limits", name), what, f"see {published.page}")
            yield result_of_problem(problem, "warning")


def _stated(limits: SystemLimits, also: str = "") -> Iterator[tuple[str, Any]]:
    """The limits that differ from the defaults, and the one named `also`."""
    for each in fields(SystemLimits):
        value = getattr(limits, each.name)
        if each.name == also or value != getattr(DEFAULT_LIMITS, each.name):
            yield each.name, value


def _exceeds(value: Any, published: Any) -> bool:
    """Whether a limit lets more through; 0 and no window are no limit."""
    if not isinstance(value, tuple):
        return not value or value > published
    return any(
        all(
            mine.unit != each.unit or mine.limit / mine.per_s > each.limit / each.per_s
            for mine in value
        )
        for each in published
    )


def _phrase(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_window_phrase, value))
    return f"{value:g} {_PHRASES[name]}" if value else f"any number of {_PHRASES[name]}"


def _window_phrase(window: WindowLimit) -> str:
    return f"{window.limit:g} {window.unit} in {window.per_s:g} s"
