"""Converts the files' models to the declarations that the rest of the bridge uses. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.config.document import Document, KeyPath
from bridge.config.model_checks import arg_problems, field_problems
from bridge.config.models import (
    SECONDS,
    CommandModel,
    EntityModel,
    FieldModel,
    LimitsModel,
    SystemModel,
    WindowModel,
)
from bridge.config.problems import Problem
from bridge.config.relations import relation_problems, relation_spec
from bridge.model.delete_limit import parse_delete_limit
from bridge.model.specs import (
    ArgSpec,
    CacheSpec,
    CommandSpec,
    EntitySpec,
    FieldSpec,
    SystemLimits,
    SystemSpec,
    Tier,
    WindowLimit,
)
from bridge.model.types import parse_type


def duration_ms(text: str) -> int:
    """`30d`, `12h`, `15m`, `10s` in milliseconds."""
    return int(text[:-1]) * SECONDS[text[-1]] * 1000


def _field(name: str, model: FieldModel) -> FieldSpec:
    return FieldSpec(
        name=name,
        columns=tuple(model.from_) or (name,),
        type=parse_type(model.type) if model.type else None,
        code_page=model.code_page,
        trim=model.trim,
        format=model.format,
        zone=model.zone,
        map=None if model.map is None else {str(key): item for key, item in model.map.items()},
        zeros=model.zeros,
        unit=model.unit,
        mask=model.mask,
        call=model.call,
    )


def _entity(system: str, name: str, model: EntityModel) -> EntitySpec:
    return EntitySpec(
        system=system,
        name=name,
        table=model.from_,
        key=tuple(model.key),
        fields=tuple(_field(field, item) for field, item in model.fields.items()),
        relations=tuple(
            relation_spec(relation, item) for relation, item in model.relations.items()
        ),
        version=model.version or "",
        max_deletes=parse_delete_limit("" if model.max_deletes is None else str(model.max_deletes)),
        view=model.view,
        cache=CacheSpec(
            duration_ms(model.cache.max_staleness) / 1000,
            duration_ms(model.cache.stale_if_error) / 1000,
        ),
    )


def _command(system: str, name: str, model: CommandModel) -> CommandSpec:
    return CommandSpec(
        system=system,
        name=name,
        entity=model.entity,
        run=model.run,
        args=tuple(
            ArgSpec(
                name=arg,
                type=parse_type(item.type),
                required=item.required and item.default is None,
                default=item.default,
                max_length=item.max_length,
                minimum=item.minimum,
                maximum=item.maximum,
                pattern=item.pattern,
                choices=tuple(item.choices),
            )
            for arg, item in model.args.items()
        ),
        tier=Tier(model.tier),
        guards=tuple(model.guards),
        many=model.rows == "many",
        probe=model.probe,
    )


def _limits(model: LimitsModel) -> SystemLimits:
    return SystemLimits(
        connections=model.connections,
        queries_per_second=model.queries_per_second,
        burst=model.burst,
        windows=tuple(_window(window) for window in model.windows),
        batch_operations=model.batch_operations,
        rows_per_second=model.rows_per_second,
        max_rows=model.max_rows,
        total_connections=model.total_connections,
        surface_connections=model.surface_connections,
        processes=model.processes,
    )


def _window(model: WindowModel) -> WindowLimit:
    per_s = duration_ms(model.per) / 1000
    if model.requests is not None:
        return WindowLimit(model.requests, per_s)
    return WindowLimit(model.seconds or 0.0, per_s, "seconds")


def system_spec(model: SystemModel) -> SystemSpec:
    """The declarations of one system's file."""
    return SystemSpec(
        name=model.system,
        connector=model.connector,
        entities=tuple(_entity(model.system, name, item) for name, item in model.entities.items()),
        commands=tuple(_command(model.system, name, item) for name, item in model.commands.items()),
        limits=_limits(model.limits),
        cache_bytes=model.cache.bytes,
        written_limits=frozenset(model.limits.model_fields_set),
        view_bytes=model.view_bytes,
        peers=model.peers,
    )


def _transform_problems(
    document: Document, where: KeyPath, name: str, field: FieldModel, model: SystemModel
) -> Iterator[Problem]:
    if len(field.from_) > 1 and not (field.format or field.call):
        yield document.problem(
            where, f"field {name!r} joins several columns", "add format: or call: to join them"
        )
    if field.mask == "hash" and not model.mask_key:
        yield document.problem(
            where,
            f"field {name!r} is masked by hash, but the system has no mask_key",
            "add mask_key: ${env:NAME} to the system's file",
        )
    for key, what in field_problems(field):
        yield document.problem((*where, key), what)
    if field.call and ":" not in field.call:
        yield document.problem(
            (*where, "call"), f"{field.call!r} does not name a function", "package.module:function"
        )


def _entity_problems(document: Document, model: SystemModel) -> Iterator[Problem]:
    stands_on: dict[str, str] = {}
    for name, entity in model.entities.items():
        where: KeyPath = ("entities", name)
        other = stands_on.setdefault(entity.from_, name)
        if other != name:
            yield document.problem(
                (*where, "from"),
                f"entities {other!r} and {name!r} both use table {entity.from_!r}",
                "declare one entity per table: an event's id is its position, which both would "
                "share; merge "
                "their fields into one entity",
            )
        declared = entity.fields
        for field, item in declared.items():
            yield from _transform_problems(document, (*where, "fields", field), field, item, model)
        for key in entity.key:
            if declared and key not in declared:
                hint = f"fields are {', '.join(declared)}"
                yield document.problem((*where, "key"), f"key {key!r} is not a field", hint)
        if entity.version and declared and entity.version not in declared:
            yield document.problem(
                (*where, "version"), f"version {entity.version!r} is not a field"
            )
        yield from relation_problems(document, where, entity, model)


def _command_problems(document: Document, model: SystemModel) -> Iterator[Problem]:
    for name, command in model.commands.items():
        where: KeyPath = ("commands", name)
        for arg, item in command.args.items():
            for key, what in arg_problems(item):
                yield document.problem((*where, "args", arg, key), what)
        entity = model.entities.get(command.entity)
        if entity is None:
            yield document.problem(
                (*where, "entity"),
                f"command {name!r} is for {command.entity!r}, which is not declared",
                f"entities are {', '.join(model.entities)}",
            )
            continue
        for guard in command.guards:
            if entity.fields and guard not in entity.fields:
                yield document.problem(
                    (*where, "guards"), f"guard {guard!r} is not a field of {command.entity!r}"
                )
        if reserved := [
            arg for arg in command.args if arg in {"id", "key"} or arg.startswith("key_")
        ]:
            yield document.problem(
                (*where, "args"),
                f"argument {reserved[0]!r} has a reserved name",
                "key and key_FIELD stand for the row's key, id for the command's",
            )


def system_problems(document: Document, model: SystemModel) -> list[Problem]:
    """Problems in the meaning of one system's file whose shape is valid."""
    return [*_entity_problems(document, model), *_command_problems(document, model)]
