"""`bridgectl snapshot`: reads a table into the log again while capture continues."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import as_json, progress, run_with_bridge
from bridge.cli.output.rows import print_json
from bridge.cli.params.field_values import parse_condition
from bridge.cli.params.topics import qualify_entity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.capture.checkpoint.record import SnapshotResult
    from bridge.wiring import Bridge

#: How long one read of the checkpoint records waits; new records end the wait.
WAIT = 1.0


@click.command(epilog="Example: bridgectl snapshot erp.sales_order --where status=open")
@click.argument("name", metavar="ENTITY|SYSTEM")
@click.option(
    "--where",
    "texts",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only rows with this value; repeatable.",
)
@click.option(
    "--reconcile", is_flag=True, help="Also write deletes for keys that are gone from the table."
)
@click.option(
    "--max-deletes",
    "max_deletes",
    default="",
    metavar="N|N%",
    help="How many deletes a reconcile may write, in rows or as a share of the entity; "
    "overrides max_deletes of its file (default: a third).",
)
@click.option(
    "--resume",
    "action",
    flag_value="resume",
    help="Instead: resume a paused entity, which reconciles it.",
)
@click.option(
    "--cancel",
    "action",
    flag_value="cancel",
    help="Instead: cancel its waiting and running snapshots.",
)
@click.option(
    "--accept-loss",
    "action",
    flag_value="accept_loss",
    help="Instead: for a system that stopped because changes are lost: start again in a new epoch and reconcile every entity.",
)
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait until it is done, or return at once.",
)
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    *,
    name: str,
    texts: tuple[str, ...],
    reconcile: bool,
    max_deletes: str,
    action: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Ask the running capture for a snapshot of one entity, or of every entity of a system.

    It is read in chunks between changes, without locks. Interrupting this command doesn't stop it.
    """
    if texts and (reconcile or action):
        raise click.UsageError(
            "--where goes with none of --reconcile, --resume, --cancel, --accept-loss"
        )

    if max_deletes:
        _check_limit(max_deletes, compares=reconcile or action in {"resume", "accept_loss"})

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.capture import control

        system, entity = await _meant(bridge, name)
        if action == "accept_loss":
            await _refuse_without_loss(bridge, system)
        if texts and not entity:
            raise click.UsageError("--where needs one entity")
        where = await _where(bridge, f"{system}.{entity}", texts) if texts else None
        request = control.request(
            system,
            action or "snapshot",  # type: ignore[arg-type]  # the options' flag values
            entity,
            where=where,
            reconcile=reconcile,
            max_deletes=max_deletes,
        )
        begin = await _end(bridge)
        await control.send(bridge.log, bridge.name, request)
        if not as_json:
            click.echo(
                f"asked {system}: {request.action} of {entity or 'every entity'} ({request.id})",
                err=True,
            )
        if not wait or request.action in ("cancel", "accept_loss"):
            if as_json:
                print_json(
                    {"id": request.id, "system": system, "entity": entity, "action": request.action}
                )
            return 0
        expected = 1 if entity else len(bridge.systems[system].spec.entities)
        return await _follow(bridge, system, request.id, expected, begin, as_json=as_json)

    run_with_bridge(ctx, act)


async def _refuse_without_loss(bridge: Bridge, system: str) -> None:
    """A running capture would consume the request and ignore it."""
    from bridge.capture.report.status_record import statuses
    from bridge.capture.request_watch import no_loss_to_accept

    status = (await statuses(bridge.log, bridge.name)).get(system)
    if why := no_loss_to_accept(system, status, time.time_ns() // 1000):
        raise click.ClickException(why)


def _check_limit(text: str, *, compares: bool) -> None:
    from bridge.model.delete_limit import parse_delete_limit

    if not compares:
        raise click.UsageError("--max-deletes goes with --reconcile, --resume or --accept-loss")
    try:
        parse_delete_limit(text)
    except ValueError as error:
        raise click.UsageError(f"--max-deletes: {error}") from None


async def _meant(bridge: Bridge, name: str) -> tuple[str, str]:
    """The system and entity that `name` refers to; the entity is empty for a whole system."""
    if name in bridge.systems:
        return name, ""
    from bridge.model.names import split_entity

    return split_entity(qualify_entity(bridge.entities, name))


async def _where(bridge: Bridge, name: str, texts: tuple[str, ...]) -> Mapping[str, Any]:
    """The condition in the source's columns and values, in a JSON-compatible form."""
    from bridge.capture.source_condition import source_condition
    from bridge.model.names import split_entity

    system, bare = split_entity(name)
    table = (await bridge.tables(system))[bare]
    try:
        where = parse_condition(table.entity, texts)
    except ValueError as error:
        raise click.UsageError(f"--where: {error}") from None
    return source_condition(table, where)


async def _follow(
    bridge: Bridge, system: str, request_id: str, expected: int, begin: int, *, as_json: bool
) -> int:
    """Show the progress from the checkpoint records until it is done. Returns the exit code."""
    from bridge.capture.checkpoint import store
    from bridge.capture.checkpoint.codec import load
    from bridge.capture.request_watch import belongs_to_request, rows_read
    from bridge.log.port import TopicPartition

    checkpoint_partition = TopicPartition(store.topic(bridge.name).name, 0)
    reader = await bridge.log.reader({checkpoint_partition: begin})
    heard = time.monotonic()
    try:
        with progress(f"snapshot of {system}", None) as advance:
            while True:
                for record in await reader.read(100, WAIT):
                    if record.key != system.encode() or record.value is None:
                        continue
                    heard = time.monotonic()
                    capture_progress = load(record.value, system)
                    done = [
                        item
                        for item in capture_progress.results
                        if belongs_to_request(item.id, request_id)
                    ]
                    jobs = [
                        job
                        for job in capture_progress.jobs
                        if belongs_to_request(job.id, request_id)
                    ]
                    advance(*rows_read(jobs, done))
                    if len(done) >= expected:
                        return _report(system, done, as_json=as_json)
                await _check_alive(bridge, system, time.monotonic() - heard)
    finally:
        await reader.close()


async def _check_alive(bridge: Bridge, system: str, silent: float) -> None:
    """Raises RetryLater if no capture is running; the request is kept."""
    from bridge.capture.report.status_record import statuses
    from bridge.capture.request_watch import not_carried_out
    from bridge.model.errors import RetryLater

    status = (await statuses(bridge.log, bridge.name)).get(system)
    if why := not_carried_out(system, status, silent):
        raise RetryLater(why)


async def _end(bridge: Bridge) -> int:
    """The end of the checkpoint records before the request is sent."""
    from bridge.capture.checkpoint import store
    from bridge.log.port import TopicPartition

    topic = store.topic(bridge.name)
    await bridge.log.create_topics([topic])
    checkpoint_partition = TopicPartition(topic.name, 0)
    return (await bridge.log.end_offsets([checkpoint_partition]))[checkpoint_partition]


def _report(system: str, done: Sequence[SnapshotResult], *, as_json: bool) -> int:
    for item in done:
        if as_json:
            print_json({"system": system, **dataclasses.asdict(item)})
            continue
        outcome = item.failed or f"rows read: {item.rows}, deletes written: {item.deleted}"
        click.echo(f"{system}.{item.entity}: {outcome}")
    return 1 if any(item.failed for item in done) else 0
