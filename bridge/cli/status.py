"""`bridgectl status`: what runs, how far it is and how far behind."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.machinery import ExtensionFileLoader, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import as_json, load_configuration, run_with_bridge
from bridge.cli.output.durations import seconds_text as _seconds
from bridge.cli.output.rows import print_json, print_rows
from bridge.model.errors import ConfigurationError
from bridge.model.redaction import redact_messages

if TYPE_CHECKING:
    from bridge.capture.report.status_record import SourceStatus
    from bridge.model.work_progress import Stall
    from bridge.wiring import Bridge

#: Modules of which a compiled form may be there, by what they do; and what they can't do without.
COMPILED = {
    "plans": ("bridge.plan.execute", ()),
    "pgoutput frames": ("connectors.postgres.protocol.frames", ("psycopg",)),
    "Kafka batches": ("bridge.log.kafka.pack", ("aiokafka",)),
}
FORMS = {True: "compiled", False: "interpreted", None: "not installed"}


@click.command(epilog="Example: bridgectl status --json")
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Show systems, their capture, groups and their lag, commands that failed, are unknown or wait,
    dead letters, and in which form plans run.

    Exit code 1 when a system that was captured, an entity or a group with work to do makes no
    progress, or a part of a running process has failed, or has waited for half a minute for something
    that is away, or commands for a right that is missing: since when, and why, is in the output.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.capture.report.status_record import statuses
        from bridge.cli.status_counts import (
            command_counts,
            dead_letter_counts,
            print_counts,
            waits_for_a_person,
        )
        from bridge.log.embedded.filesystem import disk_problem
        from bridge.model.work_progress import CAPTURE_SILENT_AFTER_S
        from bridge.wiring.missing_topics import missing_topics

        existing = await bridge.log.topics()
        missing = await missing_topics(bridge.log, bridge.config, existing.keys())
        problems = [f"{each.text}: {each.hint}" for each in missing]
        if (path := bridge.config.log.path) is not None and (full := disk_problem(path)):
            problems.append(f"{path}: {full}: nothing is written any more, reports neither")
        statuses_by_system = await statuses(bridge.log, bridge.name)
        now = time.time_ns() // 1000
        systems = [
            redact_messages(
                system_row(bridge, name, statuses_by_system.get(name), now)
                | await _change_detection(bridge, name)
            )
            for name in bridge.systems
        ]
        groups, stalls = await _groups(bridge, now)
        waits = await _waits(bridge, now)
        forms = {what: FORMS[compiled(*module)] for what, module in COMPILED.items()}
        commands = await command_counts(bridge, now // 1000)
        letters = await dead_letter_counts(bridge, now // 1000)
        if as_json:
            print_json(
                {
                    "kind": "bridge",
                    "bridge": bridge.name,
                    "log": bridge.log.name,
                    "problems": problems,
                    "implementations": forms,
                }
            )
            _print_json(systems, groups)
            for row in waits:
                print_json({"kind": "wait", **row})
            for row in (*commands.json_rows("commands"), *letters.json_rows("dead_letters")):
                print_json(row)
        else:
            _print(bridge, systems, groups, forms)
            for row in waits:
                _print_wait(row)
            print_counts(commands, letters)
            for problem in problems:
                click.echo(f"log: {problem}")
        waits_long = any(
            row["state"] == "failed" or row["seconds"] > CAPTURE_SILENT_AFTER_S for row in waits
        )
        waits_long = waits_long or waits_for_a_person(commands, CAPTURE_SILENT_AFTER_S)
        unhealthy = any(row["healthy"] is False for row in systems)
        return 1 if problems or stalls or waits_long or unhealthy else 0

    _check_file(ctx)
    run_with_bridge(ctx, act)


async def _waits(bridge: Bridge, now: int) -> list[dict[str, Any]]:
    """A row for each part of a running process that waits for something that is away."""
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


def _print_wait(row: Mapping[str, Any]) -> None:
    from bridge.cli.output.records import local_time

    part = f"agent {row['name']}, handler {row['handler']}" if row["handler"] else ""
    part = part or f"{row['part']} {row['name']}"
    what = f" for system {row['system']}" if row["system"] else ""
    events = f" with {row['events']} events" if row["events"] else ""
    since = f"since {local_time(row['since'])} ({_seconds(row['seconds'])})"
    verb = "has failed" if row["state"] == "failed" else "waits"
    click.echo(f"{part} {verb}{what}{events} {since}: {row['reason']}")


def _check_file(ctx: click.Context) -> None:
    """Opening a log makes the file that is missing: then nobody would know that it was removed."""
    from bridge.wiring.log_file_problem import log_file_problem

    path = load_configuration(ctx).log.path
    problem = "" if path is None else log_file_problem(path)
    if problem:
        raise click.ClickException(problem)


async def _groups(bridge: Bridge, now: int) -> tuple[list[dict[str, Any]], int]:
    """A row for each group and topic, and how many groups are stalled."""
    from bridge.cli.log.group_state import FINISHED, NOT_READING, group_states, without_lag
    from bridge.cli.log.groups import group_rows, summed
    from bridge.wiring.group_stalls import group_stalls

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


def system_row(bridge: Bridge, name: str, status: SourceStatus | None, now: int) -> dict[str, Any]:
    """A system with its connector and what its capture reported last; `now` in microseconds."""
    from bridge.cli.output.capability_phrases import capability_phrases
    from bridge.wiring import load_connector

    config = bridge.systems[name]
    connector = load_connector(config)
    row: dict[str, Any] = {
        "system": name,
        "connector": connector.name,
        "url": config.shown_url,
        "capabilities": dataclasses.asdict(connector.capabilities()),
        "capability_phrases": capability_phrases(connector.capabilities()),
        "entities": len(bridge.systems[name].spec.entities),
        "state": "never captured",
        "healthy": None,
    }
    if status is None:
        return row
    stalls = status.stalls(now, bridge.config.stalled_after_s)
    return row | {
        "state": status.state if not _silent(status, now) else "not running",
        "healthy": not stalls,
        "stalls": [stall_row(stall, now) for stall in stalls],
        "reason": status.reason,
        "progress_age_seconds": status.age(now),
        "lag_seconds": status.lag(now),
        "lag_bytes": status.lag_bytes,
        "position": status.position,
        "epoch": status.epoch,
        "changes": status.changes,
        "dead_letters": status.dead,
        "paused": {entity: dict(why) for entity, why in status.paused.items()},
        "unavailable": dict(status.troubles),
        "degraded": dict(status.remarks),
        "snapshots": [dict(job) for job in status.snapshots],
        "instance": status.instance,
        "reported_at": datetime.fromtimestamp(status.at / 1_000_000, UTC),
    }


def stall_row(stall: Stall, now: int) -> dict[str, Any]:
    """Something that makes no progress although it should."""
    return {
        "kind": stall.kind,
        "name": stall.name,
        "since": datetime.fromtimestamp(stall.since / 1_000_000, UTC),
        "seconds": stall.seconds(now),
        "reason": stall.reason,
    }


def _silent(status: SourceStatus, now: int) -> bool:
    """Reports come each second; a source that lost its connection still reports."""
    from bridge.capture.report.status_record import SECOND, TOO_OLD

    return now - status.at > TOO_OLD * SECOND


def compiled(module: str, needs: Iterable[str] = ()) -> bool | None:
    """Whether a module has its compiled form, which is then the one that runs; None where it, or
    what it needs, isn't installed. Nothing is imported for it but the package at its root.
    """
    root, *inner, _ = module.split(".")
    folders = [str(Path(folder, *inner)) for folder in importlib.import_module(root).__path__]
    module_spec = PathFinder.find_spec(module, folders)
    if module_spec is None or not all(map(find_spec, needs)):
        return None
    return isinstance(module_spec.loader, ExtensionFileLoader)


def _print_json(systems: list[dict[str, Any]], groups: list[dict[str, Any]]) -> None:
    for row in systems:
        print_json({"kind": "system", **row})
    for row in groups:
        print_json({"kind": "group", **row})


def _print(
    bridge: Bridge,
    systems: list[dict[str, Any]],
    groups: list[dict[str, Any]],
    forms: Mapping[str, str],
) -> None:
    from bridge.cli.log.group_state import retired_lines

    forms_text = ", ".join(f"{what} {form}" for what, form in forms.items())
    click.echo(f"bridge {bridge.name}, log {bridge.log.name}, {forms_text}\n")
    rows = [
        {
            **row,
            "age": _seconds(row.get("progress_age_seconds")),
            "lag": _seconds(row.get("lag_seconds")),
        }
        for row in systems
    ]
    columns = ("system", "connector", "state", "age", "lag", "changes")
    print_rows(rows, columns, as_json=False)
    for row in systems:
        _print_abilities(row)
    for row in systems:
        _print_trouble(row)
    if groups:
        click.echo()
        print_rows(
            groups,
            ("group", "state", "topic", "members", "partitions", "lag", "missing"),
            as_json=False,
        )
    for line in retired_lines(groups):
        click.echo(line)
    stalls = {row["group"]: row["stall"] for row in groups if row["stall"]}
    for stall in stalls.values():
        _print_stall(stall)


async def _change_detection(bridge: Bridge, name: str) -> dict[str, Any]:
    """How each entity is captured; a system that is away keeps nobody from the rest."""
    from bridge.wiring.change_detection import describe_change_detection

    try:
        connector, system = bridge.system(name)
    except ConfigurationError as error:
        return {"change_detection": {}, "change_detection_error": str(error)}
    entities = bridge.systems[name].spec.entities
    phrases, why = await describe_change_detection(connector, system, entities)
    return {"change_detection": dict(phrases), "change_detection_error": why}


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
        # What is said here with its reason isn't said once more below.
        stall = stalls.pop((what, reason), None)
        return "" if stall is None else f", no progress since {_since(stall)}"

    if row["state"] in ("stopped", "not running"):
        click.echo(f"{name}: as of {local_time(row['reported_at'])}, when it was reported last")
    if row.get("reason"):
        click.echo(f"{name}{since(name, row['reason'])}: {row['reason']}")
    for entity, why in row.get("paused", {}).items():
        # The reason says how it goes on, and mostly begins with the entity.
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
        why = f"; tried again and again: {job['waiting']}" if job.get("waiting") else ""
        click.echo(f"{name}.{job['entity']}: snapshot {job['id']}, {how_far}{why}")
    for stall in stalls.values():
        _print_stall(stall)


def _print_stall(stall: Mapping[str, Any]) -> None:
    click.echo(f"{stall['name']}: no progress since {_since(stall)}: {stall['reason']}")


def _since(stall: Mapping[str, Any]) -> str:
    from bridge.cli.output.records import local_time

    return f"{local_time(stall['since'])} ({_seconds(stall['seconds'])})"
