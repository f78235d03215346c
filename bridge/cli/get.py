"""`bridgectl get`: reads an entity's current rows from the legacy system through the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.app import FAILED
from bridge.cli.command_runner import NOTHING_FOUND, as_json, run_with_bridge
from bridge.cli.output.rows import print_json, print_rows
from bridge.cli.params.field_values import parse_condition, parse_key
from bridge.cli.params.numbers import COUNT, SECONDS
from bridge.cli.params.topics import qualify_entity
from bridge.model.errors import Rejected, RowError

if TYPE_CHECKING:
    from datetime import datetime

    from bridge.gateway.gateways import Gateways
    from bridge.model.read_demands import ReadDemands
    from bridge.wiring import Bridge


@click.command(epilog="Example: bridgectl get erp.sales_order 4711 4712 --json")
@click.argument("entity", metavar="ENTITY")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option(
    "--where",
    "texts",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only rows with this value; repeatable.",
)
@click.option(
    "--limit",
    type=COUNT,
    default=50,
    show_default=True,
    help="At most this many rows, when no keys are given.",
)
@click.option("--related", metavar="RELATION", help="Show the related rows instead.")
@click.option(
    "--meta",
    is_flag=True,
    help="With --json: source, time, version, and the value for each command's --expect.",
)
@click.option("--fresh", is_flag=True, help="Ask the legacy system itself, whatever is held.")
@click.option(
    "--max-staleness",
    type=SECONDS,
    metavar="SECONDS",
    help="How old the answer may be; 0: everything committed before the call. Default: the entity's.",
)
@click.option(
    "--after",
    metavar="POSITION",
    help="Position of an event, a row or a receipt that the answer contains.",
)
@click.option(
    "--deadline", type=SECONDS, metavar="SECONDS", help="Give up after this time. Default: never."
)
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    entity: str,
    keys: tuple[str, ...],
    texts: tuple[str, ...],
    limit: int,
    related: str | None,
    meta: bool,
    as_json: bool,
    **freshness: Any,
) -> None:
    """Read rows of ENTITY by KEY, or all that match --where. Composite keys are JSON or f=v,f=v.

    Exit code 3 when a key doesn't exist or no row matches, 1 when a row can't be normalised; the
    others are shown.
    """
    if keys and texts:
        raise click.UsageError("use keys or --where, not both")

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.model.names import split_entity
        from bridge.model.read_demands import NO_DEMANDS

        demands = _demands(**freshness)
        name = qualify_entity(bridge.entities, entity)
        system, bare = split_entity(name)
        kind = (await bridge.tables(system))[bare].entity
        reads = await bridge.reads(system)
        try:
            wanted = [parse_key(kind, key) for key in keys]
            where = parse_condition(kind, texts)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        # One more than is shown, to find out whether there are more.
        rows_or_none, bad = (
            await _read_keys(reads, name, list(zip(keys, wanted, strict=True)), demands)
            if keys
            else await _query(reads, name, where, limit + 1, demands)
        )
        if not keys and len(rows_or_none) > limit:
            rows_or_none = rows_or_none[:limit]
            click.echo(f"only the first {limit} rows; --limit shows more", err=True)
        for which, why in bad.items():
            click.echo(f"{which} can't be normalised: {why}", err=True)
        missing = _missing(name, keys, rows_or_none, bad)
        rows = [row for row in rows_or_none if row is not None]
        if related is not None:
            rows = _flat(await reads.related_many(name, rows, related, demands))
        if not meta and demands != NO_DEMANDS:
            _print_sources(rows)
        _say_missing(name, missing, nothing=not (keys or rows or bad))
        _print(bridge, rows, meta=meta, as_json=as_json)
        if bad:
            return FAILED
        return NOTHING_FOUND if missing or not rows else 0

    run_with_bridge(ctx, act)


def _demands(
    *, fresh: bool, max_staleness: float | None, after: str | None, deadline: float | None
) -> ReadDemands:
    from bridge.model.read_demands import ReadDemands, check_demands

    demands = ReadDemands(max_staleness, after, fresh, deadline)
    try:
        check_demands(demands)
    except Rejected as error:
        raise click.UsageError(str(error)) from None
    return demands


def _missing(
    name: str, keys: Sequence[str], rows: Sequence[Any], bad: Mapping[str, RowError]
) -> list[str]:
    """The keys without a row, less those whose row can't be normalised."""
    return [
        text
        for text, row in zip(keys, rows, strict=False)
        if row is None and f"{name} {text}" not in bad
    ]


def _say_missing(name: str, missing: list[str], *, nothing: bool) -> None:
    for text in missing:
        click.echo(f"{name} {text} doesn't exist", err=True)
    if nothing:
        click.echo(f"no row of {name} matches", err=True)


def _print_sources(rows: list[Any]) -> None:
    """Where the rows are from, for people: one line a source, with its oldest row."""
    from bridge.model.provenance import provenance

    as_of: dict[str, datetime] = {}
    for row in rows:
        origin = provenance(row)
        as_of[origin.source] = min(origin.as_of, as_of.get(origin.source, origin.as_of))
    for source, oldest in as_of.items():
        click.echo(f"source: {source}, as of {oldest.isoformat(timespec='milliseconds')}", err=True)


async def _read_keys(
    reads: Gateways, name: str, keys: Sequence[tuple[str, Any]], demands: ReadDemands
) -> tuple[list[Any], dict[str, RowError]]:
    """The row of each key or None, in order, and what is wrong with rows that can't be normalised."""
    from bridge.gateway.separate_rows import read_separately

    rows = await read_separately(reads, name, [key for _, key in keys], demands)
    bad = {
        f"{name} {text}": row
        for (text, _), row in zip(keys, rows, strict=True)
        if isinstance(row, RowError)
    }
    return [None if isinstance(row, RowError) else row for row in rows], bad


async def _query(
    reads: Gateways, name: str, where: Mapping[str, Any], limit: int, demands: ReadDemands
) -> tuple[list[Any], dict[str, RowError]]:
    """Rows that match the condition; none, with the reason, if one of them can't be normalised."""
    try:
        return list(await reads.query(name, where, limit, demands)), {}
    except RowError as error:
        return [], {f"{name}, one of the rows": error}


def _flat(answers: list[Any]) -> list[Any]:
    """Lists of rows (to many), rows or None (to one), as rows."""
    return [
        row
        for answer in answers
        for row in (answer if isinstance(answer, list) else [answer])
        if row is not None
    ]


def _print(bridge: Bridge, rows: list[Any], *, meta: bool, as_json: bool) -> None:
    from bridge.model.guarded_versions import guarded_versions
    from bridge.model.provenance import provenance, version

    if not as_json:
        columns = tuple(rows[0].keys()) if rows else ()
        print_rows([{name: row[name] for name in columns} for row in rows], columns, as_json=False)
        return
    for row in rows:
        fields = {name: row[name] for name in row.keys()}  # noqa: SIM118 - rows are no mappings
        if not meta:
            print_json(fields)
            continue
        origin = provenance(row)
        print_json(
            {
                "entity": origin.entity,
                "source": origin.source,
                "as_of": origin.as_of,
                "position": origin.position,
                "version": version(row),
                "expect": guarded_versions(bridge.declared.values(), row),
                "row": fields,
            }
        )
