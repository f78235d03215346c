"""The data that `bridgectl status` shows, read once, and whether it is healthy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.model.work_progress import CAPTURE_SILENT_AFTER_S
from bridge.wiring.status.compiled_modules import implementations
from bridge.wiring.status.counts import (
    BoundedCounts,
    command_counts,
    dead_letter_counts,
    waits_for_a_person,
)
from bridge.wiring.status.system_rows import stall_row, system_rows

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Rows as `--json` has them.

    problems: what is wrong with the log itself, as sentences.
    waits: parts of running processes that wait for something unavailable, or have failed.
    gateways: sections that the gateways of running processes report.
    implementations: function -> compiled or interpreted form of its module.
    """

    bridge: str
    log: str
    problems: list[str]
    systems: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    stalled_groups: int
    waits: list[dict[str, Any]]
    gateways: list[dict[str, Any]]
    commands: BoundedCounts
    dead_letters: BoundedCounts
    implementations: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether everything that has work to do makes progress."""
        waits_long = any(
            row["state"] == "failed" or row["seconds"] > CAPTURE_SILENT_AFTER_S
            for row in self.waits
        )
        return not (
            self.problems
            or waits_long
            or waits_for_a_person(self.commands, CAPTURE_SILENT_AFTER_S)
            or self.stalled_groups
            or any(row["healthy"] is False for row in self.systems)
            or any(row["problem"] for row in self.gateways)
        )

    def json_rows(self) -> list[dict[str, Any]]:
        """For programs: the type of each row is in `kind`."""
        bridge = {
            "kind": "bridge",
            "bridge": self.bridge,
            "log": self.log,
            "problems": self.problems,
            "implementations": self.implementations,
        }
        kinds = (
            ("system", self.systems),
            ("group", self.groups),
            ("wait", self.waits),
            ("gateway", self.gateways),
        )
        return [
            bridge,
            *({"kind": kind, **row} for kind, rows in kinds for row in rows),
            *self.commands.json_rows("commands"),
            *self.dead_letters.json_rows("dead_letters"),
        ]


async def read_report(bridge: Bridge) -> StatusReport:
    """Read the report from the log and the systems."""
    problems = await _log_problems(bridge)
    now = time.time_ns() // 1000
    groups, stalled_groups = await _groups(bridge, now)
    return StatusReport(
        bridge.name,
        bridge.log.name,
        problems,
        await system_rows(bridge),
        groups,
        stalled_groups,
        await _waits(bridge, now),
        await _gateways(bridge, now),
        await command_counts(bridge, now // 1000),
        await dead_letter_counts(bridge, now // 1000),
        implementations(),
    )


async def _log_problems(bridge: Bridge) -> list[str]:
    from bridge.log.embedded.filesystem import disk_problem
    from bridge.wiring.missing_topics import missing_topics

    existing = await bridge.log.topics()
    missing = await missing_topics(bridge.log, bridge.config, existing.keys())
    problems = [f"{each.text}: {each.hint}" for each in missing]
    if (path := bridge.config.log.path) is not None and (full := disk_problem(path)):
        problems.append(f"{path}: {full}: nothing more is written, not even reports")
    return problems


async def _waits(bridge: Bridge, now: int) -> list[dict[str, Any]]:
    """A row for each part of a running process that waits for something unavailable."""
    from bridge.wiring.group_reports import reported_waits

    return [
        {
            "part": wait.kind,
            "name": wait.name,
            "state": wait.state,
            "handler": wait.handler or None,
            "system": wait.system or None,
            "events": wait.events or None,
            "since": datetime.fromtimestamp(wait.since / 1_000_000, UTC),
            "seconds": abs(now - wait.since) / 1_000_000,
            "reason": wait.reason,
        }
        for wait in await reported_waits(bridge.log, bridge.name, now)
    ]


async def _gateways(bridge: Bridge, now: int) -> list[dict[str, Any]]:
    """A row for each section that a gateway of a running process reports."""
    from bridge.wiring.group_reports import reported_gateways

    return [
        {
            "system": report.system,
            "section": report.section,
            "process": report.process,
            "reported_at": datetime.fromtimestamp(report.at / 1_000_000, UTC),
            "summary": report.summary,
            "problem": report.problem or None,
            "facts": report.facts,
        }
        for report in await reported_gateways(bridge.log, bridge.name, now)
    ]


async def _groups(bridge: Bridge, now: int) -> tuple[list[dict[str, Any]], int]:
    """A row for each group and topic, and how many groups are stalled."""
    from bridge.wiring.group_stalls import group_stalls
    from bridge.wiring.group_state import FINISHED, NOT_READING, group_states
    from bridge.wiring.status.group_rows import group_rows, summed, without_lag

    infos = await bridge.log.groups()
    states = await group_states(bridge, infos)
    infos = {name: info for name, info in infos.items() if states[name] != FINISHED}
    rows = without_lag(summed(await group_rows(bridge.log, infos)), states)
    infos = {name: info for name, info in infos.items() if states[name] not in NOT_READING}
    lagging = {row["group"] for row in rows if row["lag"]}
    stalls = await group_stalls(
        bridge.log,
        bridge.name,
        infos,
        lagging,
        now=now,
        stalled_after_s=bridge.config.stalled_after_s,
    )
    for row in rows:
        stall = stalls.get(row["group"])
        row["stall"] = None if stall is None else stall_row(stall, now)
    return rows, len(stalls)
