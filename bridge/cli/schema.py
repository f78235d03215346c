"""`bridgectl schema`: schemas of the configuration, entities and fixed topics; and plans."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import (
    NothingFound,
    as_json,
    finish,
    load_configuration,
    run_async,
    run_with_bridge,
)
from bridge.cli.output.rows import print_json, print_rows
from bridge.cli.params.topics import qualify_entity

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@click.group(epilog="Example: bridgectl schema plan erp.sales_order")
def command() -> None:
    """Draft a system file; print schemas of the configuration, entities and topics, and plans."""


def _print_schema(schema: Any, *, compact: bool) -> None:
    """JSON for people, or on one line; keeps the order of keys."""
    click.echo(json.dumps(schema, indent=None if compact else 2, ensure_ascii=False))


@command.command(epilog="Example: bridgectl schema config --system > systems/schema.json")
@click.option("--system", is_flag=True, help="Schema of a system file instead of bridge.yaml.")
@as_json
def config(*, system: bool, as_json: bool) -> None:
    """Print the JSON Schema of the configuration files, for editors.

    It needs no configuration. In YAML editors: `# yaml-language-server: $schema=schema.json`.
    """
    from bridge.config.schema import config_schema

    _print_schema(config_schema("system" if system else "bridge"), compact=as_json)


@command.command(
    "import",
    epilog="Example: bridgectl schema import postgres 'postgresql://bridge:${env:PW}@erp-db/erp' "
    "-o systems/erp.yaml",
)
@click.argument("connector")
@click.argument("url")
@click.option("--name", help="The system's name.  [default: the file's, else erp]")
@click.option(
    "--login",
    "logins",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of login: (repeatable); nested keys as a.b, secrets as ${env:NAME}.",
)
@click.option(
    "--tls",
    metavar="KEY=VALUE",
    multiple=True,
    help="A key of tls: (repeatable): ca=FILE, certificate=FILE, key=FILE.",
)
@click.option("--entities", metavar="A,B", help="Only these tables or entity sets.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="File to write. Default: stdout."
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def import_(  # noqa: PLR0917
    connector: str,
    url: str,
    name: str | None,
    logins: tuple[str, ...],
    tls: tuple[str, ...],
    entities: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Draft a system file from the catalogue of the legacy system at URL.

    Nothing else needs to exist. Write secrets in URL and login as references, in single quotes;
    they must be set. Relative paths start at the file's folder. The draft is usable as it is:
    review it, remove what agents don't need, then run `bridgectl check`.
    """
    from bridge.cli.params.nested_pairs import parse_nested_pairs
    from bridge.config.absolute_path import absolute_path
    from bridge.config.draft_request import DraftRequest
    from bridge.wiring.draft_system import draft_system

    path = Path(output) if output else None
    if path is not None and path.exists() and not force:
        raise click.UsageError(f"{path} already exists; --force overwrites it")
    draft_request = DraftRequest(
        name=name or (path.stem if path else "erp"),
        connector=connector,
        url=url,
        folder=absolute_path(path.parent if path else Path()),
        tables=[part.strip() for part in (entities or "").split(",") if part.strip()],
        login=parse_nested_pairs(logins),
        tls=parse_nested_pairs(tls, "--tls"),
    )

    async def act(stop: asyncio.Event) -> int:
        del stop
        text, count = await draft_system(draft_request, str(path or "stdout"))
        if path is None:
            click.echo(text, nl=False)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            click.echo(
                f"{path}: entities: {count}. Review it, then run `bridgectl check`", err=True
            )
        return 0

    finish(run_async(act))


@command.command(epilog="Example: bridgectl schema show erp.sales_order")
@click.argument("entity", metavar="ENTITY")
@click.option("--key", is_flag=True, help="Schema of the key instead of the value.")
@click.option(
    "--catalogue",
    is_flag=True,
    help="Build it from the current declaration and table instead of reading the registry.",
)
@as_json
@click.pass_context
def show(ctx: click.Context, *, entity: str, key: bool, catalogue: bool, as_json: bool) -> None:
    """Print the Avro schema of an entity's events: the registry's newest version.

    If the registry has none yet, it is built from the table and its declaration.
    """
    from bridge.model.avro import change_schema, key_schema
    from bridge.wiring.entities import from_catalogue, registered_subject

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        name = qualify_entity(bridge.entities, entity)
        subject = (
            None if catalogue else await registered_subject(bridge, name, "key" if key else "value")
        )
        if subject is not None:
            click.echo(f"subject {subject.subject}, schema id {subject.schema.id}", err=True)
            _print_schema(json.loads(subject.schema.text), compact=as_json)
            return 0
        click.echo("built from the table and its declaration", err=True)
        catalogue_entity = await from_catalogue(bridge, name)
        _print_schema(
            (key_schema if key else change_schema)(catalogue_entity.entity), compact=as_json
        )
        return 0

    run_with_bridge(ctx, act)


@command.command(epilog="Example: bridgectl schema plan erp.sales_order")
@click.argument("entity", metavar="ENTITY")
@as_json
@click.pass_context
def plan(ctx: click.Context, *, entity: str, as_json: bool) -> None:
    """Print how rows of the table become records: one line per field, `*` for key fields.

    From left to right: the field, its columns with the form of their bytes, the transforms, the
    type.
    """
    from bridge.wiring.entities import plan_entity

    loaded = load_configuration(ctx)
    specs = {item.qualified: item for system in loaded.systems for item in system.spec.entities}
    name = qualify_entity(specs, entity)

    async def act(stop: asyncio.Event) -> int:
        del stop
        entity_plan = await plan_entity(loaded, name)
        if as_json:
            for step in entity_plan.steps:
                print_json(
                    {
                        "entity": name,
                        "field": step.field,
                        "columns": step.names,
                        "wire_formats": step.wires,
                        "transforms": [
                            [part.name, *map(str, part.args)] for part in step.transforms
                        ],
                        "type": str(step.target),
                        "key": step.key,
                    }
                )
        else:
            click.echo("\n".join(entity_plan.lines()))
        return 0

    finish(run_async(act))


@command.command(epilog="Example: bridgectl schema topics dead")
@click.argument("topic", required=False)
@as_json
def topics(*, topic: str | None, as_json: bool) -> None:
    """List the topics that every bridge has, or print the Avro schemas of one."""
    from bridge.model.system_records import SYSTEM_TOPICS, TOPIC_KINDS, schema_texts

    by_topic = {SYSTEM_TOPICS[kind].topic: kind for kind in TOPIC_KINDS}
    if topic is None:
        rows = [
            {
                "topic": name,
                "record": kind,
                "fields": [field["name"] for field in json.loads(schema_texts(kind)[1])["fields"]],
            }
            for name, kind in by_topic.items()
        ]
        print_rows(rows, ("topic", "record", "fields"), as_json=as_json)
        return
    kind = by_topic.get(topic) or by_topic.get(topic.rpartition(".")[2])
    if kind is None:
        raise NothingFound(f"{topic!r} is not a fixed topic; they are {', '.join(by_topic)}")
    for part, text in zip(("key", "value"), schema_texts(kind), strict=True):
        _print_schema({"topic": topic, "part": part, "schema": json.loads(text)}, compact=as_json)
