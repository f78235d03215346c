"""`bridgectl view`: looks at the local copy of a system's entities, drops it, has it built again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import (
    NOTHING_FOUND,
    as_json,
    confirm,
    finish,
    load_configuration,
    print_json,
    print_rows,
)
from bridge.cli.params.field_values import parse_key

if TYPE_CHECKING:
    from bridge.gateway.view.view_inspection import ViewFileReport
    from bridge.model.types import Entity


@click.command(epilog="Example: bridgectl view erp sales_order 4711")
@click.argument("system")
@click.argument("entity", required=False)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--drop", is_flag=True, help="Remove the file; no process may be keeping it up.")
@click.option("--rebuild", is_flag=True, help="Have it built again from the log.")
@click.option("--yes", is_flag=True, help="Don't ask first.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    *,
    system: str,
    entity: str | None,
    keys: tuple[str, ...],
    drop: bool,
    rebuild: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what the view of SYSTEM holds, or the rows of ENTITY by KEY as it has them.

    It reads the view's file, not the legacy system. How far a view is that is being built is in
    `bridgectl status`. Exit code 3 when there is no view, or no such row.
    """
    from bridge.gateway.view.view_inspection import drop_view, inspect_view, request_rebuild
    from bridge.wiring.system_views import view_path

    if (drop or rebuild) and entity is not None:
        raise click.UsageError("--drop and --rebuild are for the view of a whole system")
    if drop and rebuild:
        raise click.UsageError("use --drop or --rebuild, not both")
    config = load_configuration(ctx)
    _check_names(config.systems, system, entity)
    path = view_path(config, system)
    if drop:
        if not yes:
            confirm(f"Remove {path}?")
        _drop(drop_view, path)
    elif rebuild:
        if not yes:
            confirm(f"Build the view of {system} again? Reads go to the legacy system meanwhile.")
        is_owned = request_rebuild(path)
        when = "its process builds it again now" if is_owned else "the next run builds it again"
        click.echo(f"{path}: {when}", err=True)
    elif entity is not None and keys:
        finish(_show_rows(path, entity, keys, as_json=as_json))
    else:
        finish(_show(inspect_view(path), entity, as_json=as_json))


def _check_names(systems: Any, system: str, entity: str | None) -> None:
    """Raises ConfigurationError for a name that isn't configured."""
    from bridge.model.errors import ConfigurationError

    specs = {each.spec.name: each.spec for each in systems}
    if system not in specs:
        raise ConfigurationError(f"there is no system {system!r}; systems are {', '.join(specs)}")
    names = [each.name for each in specs[system].entities]
    if entity is not None and entity not in names:
        raise ConfigurationError(
            f"system {system!r} has no entity {entity!r}; it has {', '.join(names)}"
        )


def _drop(drop_view: Any, path: Path) -> None:
    from bridge.gateway.view.owner_lock import OwnedElsewhere
    from bridge.model.errors import ConfigurationError

    try:
        drop_view(path)
    except OwnedElsewhere:
        raise ConfigurationError(
            f"a running process keeps up {path}: stop it first, have it built again with --rebuild, "
            "or write `view: no` to its entities and restart it"
        ) from None
    click.echo(f"{path} was removed", err=True)


def _show(report: ViewFileReport, entity: str | None, *, as_json: bool) -> int:
    if not report.exists:
        click.echo(f"there is no view: {report.path} doesn't exist", err=True)
        return NOTHING_FOUND
    state = report.problem or ("complete" if report.is_complete else "being built")
    rows = [
        {
            "entity": name,
            "rows": count,
            "unknown": (report.unknown or {}).get(name, 0),
            "state": state,
            "kept_up": report.is_owned,
            "position": report.position,
            "bytes": report.bytes,
            "written_at": report.written_at,
            "file": str(report.path),
        }
        for name, count in sorted((report.rows or {}).items())
        if entity in (None, name)
    ]
    if not as_json:
        owner = "a running process keeps it up" if report.is_owned else "no process keeps it up"
        click.echo(f"{report.path}: {report.bytes / 1_000_000:.1f} MB, {state}; {owner}")
    if not rows and report.problem:
        return NOTHING_FOUND
    print_rows(rows, ("entity", "rows", "unknown"), as_json=as_json)
    return 0 if rows else NOTHING_FOUND


def _show_rows(path: Path, entity: str, keys: tuple[str, ...], *, as_json: bool) -> int:
    from bridge.gateway.view.view_inspection import entity_in_view, row_in_view
    from bridge.model.errors import ConfigurationError

    if not path.exists():
        click.echo(f"there is no view: {path} doesn't exist", err=True)
        return NOTHING_FOUND
    entity_type = entity_in_view(path, entity)
    if entity_type is None:
        raise ConfigurationError(f"the view {path} holds no row of {entity!r}")
    missing = False
    for text in keys:
        row = row_in_view(path, entity, _key_bytes(entity_type, text))
        if row is None:
            click.echo(f"{entity} {text} isn't in the view", err=True)
        elif row.fields is None:
            click.echo(f"{entity} {text} isn't known: the legacy system is asked for it", err=True)
        elif as_json:
            print_json({"position": row.position, "row": row.fields})
        else:
            print_rows([dict(row.fields)], tuple(row.fields), as_json=False)
        missing = missing or row is None or row.fields is None
    return NOTHING_FOUND if missing else 0


def _key_bytes(entity: Entity, text: str) -> bytes:
    """The key as the log has it, less its schema id. Raises UsageError."""
    from bridge.model.conversion_error import ConversionError
    from bridge.plan.avro_encoder import key_encoder
    from bridge.plan.coerce import coercer

    try:
        key = parse_key(entity, text)
        return b"".join(
            key_encoder(entity.field(name).type)(coercer(entity.field(name).type)(key[name]))
            for name in entity.key
        )
    except (ValueError, ConversionError) as error:
        raise click.UsageError(str(error)) from None
