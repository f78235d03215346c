"""The limits of a system: those that its file sets, and its maker's published ones in place of the
others.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import fields, replace
from typing import Any

from bridge.config import SystemConfig
from bridge.connector import (
    BoundsConnections,
    Connector,
    CountsConnections,
    PublishedLimits,
    PublishesLimits,
    System,
)
from bridge.gateway.limits.reservation import UNKNOWN_USES, Reservation, reserve
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.specs import SystemLimits, WindowLimit
from bridge.wiring.check.result import CheckResult, result_of_problem

DEFAULT_LIMITS = SystemLimits()
_PHRASES = {
    "queries_per_second": "queries per second",
    "burst": "queries at once",
    "batch_operations": "operations per $batch",
    "rows_per_second": "rows per second",
    "max_rows": "rows per answer",
    "connections": "connections for reads",
    "total_connections": "connections in all",
    "surface_connections": "connections for bridgectl",
    "processes": "processes",
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


def reservation_of(connector: Connector, system: System) -> Reservation:
    """Which of the system's parts may open how many connections."""
    can = connector.capabilities()
    uses = (
        connector.connection_uses(system)
        if isinstance(connector, CountsConnections)
        else UNKNOWN_USES
    )
    has = {"capture": can.capture, "commands": system.commands, "catalogue": can.read}
    has_parts = [use for use in uses if has.get(use.part)]
    return reserve(system.limits, has_parts, one_reader=system.one_reader)


def part_system(system: System) -> System:
    """The system as capture and commands see it: with one connection for each of their purposes,
    where a ceiling over all of them is set.
    """
    return replace(system, connections=1) if system.limits.total_connections else system


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
    yield _connections_finding(config, connector, system)
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


def _connections_finding(config: SystemConfig, connector: Connector, system: System) -> CheckResult:
    """What each part may open, and what that sums to; an error if nothing is left for reads."""
    reservation = reservation_of(connector, system)
    if reservation.problem:
        where = ("limits", "total_connections")
        return result_of_problem(config.document.problem(where, reservation.problem))
    what = f"connections: at most {reservation.most}: {', '.join(reservation.shares)}"
    return CheckResult("ok", "system", what, f"system {system.name}")


async def bound_findings(
    config: SystemConfig, connector: Connector, system: System
) -> AsyncGenerator[CheckResult, None]:
    """The system's own bound of the login's connections, which holds whatever the bridge does; a
    warning if it is lower than what the bridge may open, or if a ceiling is set and there is none.
    """
    if not isinstance(connector, BoundsConnections):
        return
    try:
        bound, statement = await connector.connection_bound(system)
    except (RetryLater, ConfigurationError):
        return  # The connector's own check has said so.
    location, most = f"system {system.name}", reservation_of(connector, system).most
    total = system.limits.total_connections
    if bound is None:
        if total:
            what = (
                "the system itself sets no bound on the login's connections: a process that is "
                f"stuck could hold more than the {total} of total_connections"
            )
            yield CheckResult(
                "warning", "system", what, location, fix=statement.format(limit=total)
            )
        return
    what = f"the system allows the login {bound} connections, and refuses more"
    if bound >= most:
        yield CheckResult("ok", "system", what, location)
        return
    what += f"; the bridge may open {most}"
    hint = f"set limits.total_connections to {bound}, or raise the bound"
    problem = config.document.problem(("limits",), what, hint)
    yield replace(result_of_problem(problem, "warning"), fix=statement.format(limit=most))


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
