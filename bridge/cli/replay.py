"""`bridgectl replay`: sends past events again, to an agent, a topic or a file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import NOTHING_FOUND, as_json, progress, run_with_bridge
from bridge.cli.output.rows import print_json
from bridge.cli.params.field_values import parse_condition, parse_key, parse_pairs
from bridge.cli.params.numbers import OFFSET, PER_SECOND
from bridge.cli.params.times import TIME, now_ms
from bridge.cli.params.topics import resolve_topics

if TYPE_CHECKING:
    from bridge.replay import ReplayProgress, Selection
    from bridge.replay.contract import Sink
    from bridge.replay.destination import Destination
    from bridge.wiring import Bridge


@click.command(
    epilog="Example: bridgectl replay erp.sales_order --since '1d ago' --to credit-watch --dry-run"
)
@click.argument("name", metavar="ENTITY|TOPIC")
@click.option(
    "--since", type=TIME, help="Only events from this time on: '1d ago', 2026-01-31T10:00."
)
@click.option("--until", type=TIME, help="Only events before this time.")
@click.option(
    "--offset", type=OFFSET, help="Start at this offset of each partition; 0: everything."
)
@click.option(
    "--key", "keys", multiple=True, help="Only this key: plain text, JSON or f=v,f=v; repeatable."
)
@click.option(
    "--op",
    "ops",
    multiple=True,
    type=click.Choice(["create", "update", "delete", "read"]),
    help="Only this operation; repeatable.",
)
@click.option(
    "--where",
    "texts",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only rows with this value, compared by the field's type; repeatable.",
)
@click.option("--to", required=True, metavar="AGENT|FILE|topic:NAME", help="Destination.")
@click.option(
    "--rate",
    type=PER_SECOND,
    default=0.0,
    help="At most this many events per second, evenly spaced. Default: unlimited.",
)
@click.option(
    "--name",
    "replay_name",
    metavar="NAME",
    help="Name of this replay; running it again under its name resumes where it stopped.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be replayed.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    *,
    name: str,
    since: int | None,
    until: int | None,
    offset: int | None,
    keys: tuple[str, ...],
    ops: tuple[str, ...],
    texts: tuple[str, ...],
    to: str,
    rate: float,
    replay_name: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send events of an entity or topic again. They are marked as replayed, and commands that they
    cause again are answered by their first receipt: no effect is repeated.

    An agent handles them wherever it runs. A file gets one JSON object per line; an existing file
    is continued if it has the same selection. Exit code 3 if nothing matches.
    """
    if since is None and offset is None and not keys:
        raise click.UsageError("use --since, --offset or --key; --offset 0 selects everything")
    called = _checked_name(replay_name)
    _check_where(texts)

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.replay import Selection, replay

        goal = _allowed_destination(bridge, to)
        topic = await _topic(bridge, name)
        selection = Selection(
            topic,
            since=since,
            until=until,
            offset=offset,
            keys=frozenset([await _key(bridge, topic, key) for key in keys]),
            ops=frozenset(ops),
            where=await _where(bridge, topic, texts),
        )
        if not dry_run and goal.kind != "file" and not as_json:
            click.echo(f"replay {called}: --name {called} continues with it", err=True)
        sink = _sink(bridge, goal, called, dry_run=dry_run, resumable=bool(replay_name))
        with progress(f"replay of {topic}", None) as advance:
            done = await replay(
                bridge.log,
                bridge.events,
                selection,
                sink,
                now=now_ms,
                rate=0.0 if dry_run else rate,
                report=lambda state: advance(state.scanned, state.of),
            )
        _report(done, selection, goal, called, dry_run=dry_run, as_json=as_json)
        return 0 if done.picked else NOTHING_FOUND

    run_with_bridge(ctx, act)


def _allowed_destination(bridge: Bridge, to: str) -> Destination:
    from bridge.replay import refuse_own_topic
    from bridge.replay.destination import parse_destination
    from bridge.wiring.agents import load_agents

    agents = {agent.name for agent in load_agents(bridge.config.agents)}
    try:
        goal = parse_destination(to, agents)
    except ValueError as error:
        raise click.UsageError(f"--to {to}: {error}") from None
    if goal.kind == "topic":
        refuse_own_topic(bridge.name, goal.name, bridge.entities)
    return goal


def _sink(
    bridge: Bridge, goal: Destination, called: str, *, dry_run: bool, resumable: bool
) -> Sink:
    from bridge.replay import DryRun
    from bridge.replay.destination import make_sink

    if dry_run:
        return DryRun()
    return make_sink(bridge.log, bridge.name, called, goal, resumable=resumable)


def _checked_name(replay_name: str | None) -> str:
    """The replay's name, or one generated from the time. Raises UsageError."""
    from bridge.replay.destination import check_replay_name

    name = replay_name or f"{datetime.now(UTC):%Y%m%dt%H%M%S}-{now_ms() % 1000:03}"
    try:
        return check_replay_name(name)
    except ValueError as error:
        raise click.UsageError(f"--name {name!r}: {error}") from None


def _check_where(texts: Sequence[str]) -> None:
    try:
        parse_pairs(texts)
    except ValueError as error:
        raise click.UsageError(f"--where: {error}") from None


async def _topic(bridge: Bridge, name: str) -> str:
    """The one topic that `name` refers to."""
    topics = resolve_topics(bridge.name, name, list(bridge.entities), await bridge.log.topics())
    if len(topics) > 1:
        raise click.UsageError(
            f"{name!r} is a system; replay its entities one by one: {', '.join(topics)}"
        )
    return topics[0]


async def _key(bridge: Bridge, topic: str, text: str) -> str:
    """A key in the form that selections compare: for an entity's topic, canonical JSON of the key
    fields.
    """
    from bridge.model.canonical import canonical_json
    from bridge.wiring.entities import resolve_entity

    name = topic.removeprefix(f"{bridge.name}.")
    if name not in bridge.entities:
        return text
    try:
        return canonical_json(parse_key(await resolve_entity(bridge, name), text))
    except ValueError as error:
        raise click.UsageError(f"--key: {error}") from None


async def _where(bridge: Bridge, topic: str, texts: tuple[str, ...]) -> Mapping[str, Any]:
    """The condition with values of an entity's fields; with texts for other topics."""
    from bridge.wiring.entities import resolve_entity

    name = topic.removeprefix(f"{bridge.name}.")
    if name not in bridge.entities or not texts:
        return parse_pairs(texts)
    try:
        return parse_condition(await resolve_entity(bridge, name), texts)
    except ValueError as error:
        raise click.UsageError(f"--where: {error}") from None


def _report(
    done: ReplayProgress,
    selection: Selection,
    goal: Destination,
    called: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    if as_json:
        row: dict[str, Any] = {
            "topic": selection.topic,
            "to": f"{goal.kind}:{goal.name}",
            "name": called,
            "replayed": not dry_run,
            "scanned": done.scanned,
            "selected": done.picked,
            "by_op": dict(done.by_op),
            "unreadable": done.unreadable,
            "incomplete": done.incomplete or None,
        }
        print_json(row)
        return
    what = ", ".join(f"{count} {op}" for op, count in sorted(done.by_op.items())) or "none"
    verb = "would be replayed" if dry_run else "replayed"
    click.echo(f"{done.picked} of {done.scanned} records {verb} to {goal.kind} {goal.name}: {what}")
    if done.unreadable:
        click.echo(f"{done.unreadable} records are not changes and were skipped", err=True)
    if done.incomplete:
        click.echo(f"incomplete: {done.incomplete}", err=True)
