"""The report of `bridgectl status` for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import click

from bridge.cli.output.durations import seconds_text as _seconds
from bridge.cli.output.rows import print_rows
from bridge.cli.status.count_lines import print_counts
from bridge.wiring.status.report import StatusReport


def print_lines(report: StatusReport) -> None:
    """Print tables, and a sentence for each problem."""
    _print_systems_and_groups(report)
    for row in report.waits:
        _print_wait(row)
    _print_gateways(report.gateways)
    print_counts(report.commands, report.dead_letters)
    for problem in report.problems:
        click.echo(f"log: {problem}")


def _print_systems_and_groups(report: StatusReport) -> None:
    from bridge.cli.log.group_lines import retired_lines

    forms_text = ", ".join(f"{what} {form}" for what, form in report.implementations.items())
    click.echo(f"bridge {report.bridge}, log {report.log}, {forms_text}\n")
    rows = [
        {
            **row,
            "age": _seconds(row.get("progress_age_seconds")),
            "lag": _seconds(row.get("lag_seconds")),
        }
        for row in report.systems
    ]
    columns = ("system", "connector", "state", "age", "lag", "changes")
    print_rows(rows, columns, as_json=False)
    for row in report.systems:
        _print_abilities(row)
    for row in report.systems:
        _print_trouble(row)
    if report.groups:
        click.echo()
        print_rows(
            report.groups,
            ("group", "state", "topic", "members", "partitions", "lag", "missing"),
            as_json=False,
        )
    for line in retired_lines(report.groups):
        click.echo(line)
    stalls = {row["group"]: row["stall"] for row in report.groups if row["stall"]}
    for stall in stalls.values():
        _print_stall(stall)


def _print_wait(row: Mapping[str, Any]) -> None:
    from bridge.cli.output.records import local_time

    part = f"agent {row['name']}, handler {row['handler']}" if row["handler"] else ""
    part = part or f"{row['part']} {row['name']}"
    what = f" for system {row['system']}" if row["system"] else ""
    events = f" with {row['events']} events" if row["events"] else ""
    since = f"since {local_time(row['since'])} ({_seconds(row['seconds'])})"
    verb = "has failed" if row["state"] == "failed" else "waits"
    click.echo(f"{part} {verb}{what}{events} {since}: {row['reason']}")


def _print_gateways(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line for each section; processes are named where several report the same one."""
    several = Counter((row["system"], row["section"]) for row in rows)
    for row in rows:
        process = f" ({row['process']})" if several[row["system"], row["section"]] > 1 else ""
        click.echo(f"reads of {row['system']}, {row['section']}{process}: {row['summary']}")
        if row["problem"]:
            click.echo(f"  needs attention: {row['problem']}")


def _print_abilities(row: Mapping[str, Any]) -> None:
    click.echo(f"\n{row['system']}: {'; '.join(row['capability_phrases'])}")
    for entity, phrase in row["change_detection"].items():
        click.echo(f"  {entity}: {phrase}")
    if why := row["change_detection_error"]:
        click.echo(f"  how each entity is captured isn't known now: {why}")


def _print_trouble(row: Mapping[str, Any]) -> None:
    from bridge.cli.output.records import local_time

    name = row["system"]
    stalls = {(stall["name"], stall["reason"]): stall for stall in row.get("stalls", [])}

    def since(what: str, reason: str) -> str:
        # Problems shown here with their reason aren't repeated below.
        stall = stalls.pop((what, reason), None)
        return "" if stall is None else f", no progress since {_since(stall)}"

    if row["state"] in ("stopped", "not running"):
        click.echo(f"{name}: as of its last report at {local_time(row['reported_at'])}")
    if row.get("reason"):
        click.echo(f"{name}{since(name, row['reason'])}: {row['reason']}")
    for entity, why in row.get("paused", {}).items():
        # The reason says how to resume, and usually begins with the entity.
        reason = why["reason"].removeprefix(f"{name}.{entity}: ")
        lasts = since(f"{name}.{entity}", why["reason"])
        click.echo(f"{name}.{entity} is paused{lasts}: {reason}")
    for entity, why in row.get("unavailable", {}).items():
        lasts = since(f"{name}.{entity}", why)
        click.echo(f"{name}.{entity} can't be captured for now{lasts}: {why}")
    for entity, why in row.get("degraded", {}).items():
        click.echo(f"{name}.{entity} is captured, but {why}")
    for job in row.get("snapshots", []):
        how_far = f"{job['rows']} of about {job['total']} rows" if job["under_way"] else "waiting"
        why = f"; retried repeatedly: {job['waiting']}" if job.get("waiting") else ""
        click.echo(f"{name}.{job['entity']}: snapshot {job['id']}, {how_far}{why}")
    for stall in stalls.values():
        _print_stall(stall)


def _print_stall(stall: Mapping[str, Any]) -> None:
    click.echo(f"{stall['name']}: no progress since {_since(stall)}: {stall['reason']}")


def _since(stall: Mapping[str, Any]) -> str:
    from bridge.cli.output.records import local_time

    return f"{local_time(stall['since'])} ({_seconds(stall['seconds'])})"
