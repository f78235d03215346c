"""Commands of a drafted system file, commented out: a person decides what agents may do."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bridge.model.names import as_name
from connectors.erp.yaml_text import commands_heading
from connectors.odata.draft.entity import DraftedEntity
from connectors.odata.metadata.field_types import field_type
from connectors.odata.metadata.model import Action, ODataService, Property


def command_lines(entities: dict[str, DraftedEntity], service: ODataService) -> Iterator[str]:
    usable = [
        action for action in service.actions if not action.is_function and not action.bound_many
    ]
    usable = [action for action in usable if action.bound_to is None or action.bound_to in entities]
    if not usable or not entities:
        return
    yield from commands_heading()
    names: set[str] = set()
    for action in usable:
        yield from _command(action, entities, service, names)


def _command(
    action: Action, entities: dict[str, DraftedEntity], service: ODataService, names: set[str]
) -> Iterator[str]:
    last = action.name.rpartition(".")[2]
    about = entities.get(action.bound_to or action.about)
    name = as_name(f"{last}_{about.name}" if action.bound_to and about else last, names)
    names.add(name)
    yield f"#   {name}:"
    if about is not None:
        yield f"#     entity: {about.name}"
    else:
        yield f"#     entity: {next(iter(entities.values())).name}  # the entity that it is about"
    values, args, unknown = _values(action, about, service)
    if args:
        yield "#     args:"
    for argument, p in args.items():
        yield f"#       {argument}: {_argument(p, service)}"
    if unknown:
        yield f"#     # without {', '.join(unknown)}: of types that no argument has"
    where = ""
    if about is not None and action.bound_to:
        where = f"{about.set.name}({_key(about)})/"
    yield f"#     run: {json.dumps(f'CALL {where}{action.name} {values}'.rstrip())}"


def _values(
    action: Action, about: DraftedEntity | None, service: ODataService
) -> tuple[str, dict[str, Property], list[str]]:
    """What the statement gives, what of it are arguments, and what no argument can be."""
    key_values: dict[str, str] = {}
    if about is not None and not action.bound_to:
        # V2 names the row by parameters that are called like its key.
        for name in about.set.key:
            key_values[name] = ":key" if len(about.set.key) == 1 else f":key_{about.fields[name]}"
    args: dict[str, Property] = {}
    values, unknown = [], []
    for p in action.parameters:
        if p.name in key_values:
            values.append(f"{p.name}={key_values[p.name]}")
        elif field_type(p, service.version) is None:
            unknown.append(f"{p.name} ({p.edm})")
        else:
            argument = as_name(p.name, args)
            if argument in {"id", "key"} or argument.startswith("key_"):
                # These names are the command's own.
                argument = as_name(f"its {p.name}", args)
            args[argument] = p
            values.append(f"{p.name}=:{argument}")
    return ", ".join(values), args, unknown


def _key(about: DraftedEntity) -> str:
    if len(about.set.key) == 1:
        return ":key"
    return ", ".join(f"{name}=:key_{about.fields[name]}" for name in about.set.key)


def _argument(p: Property, service: ODataService) -> str:
    kind = field_type(p, service.version)
    options = [f"type: {json.dumps(str(kind))}"]
    if p.max_length and kind is not None and kind.name == "string":
        options.append(f"max_length: {p.max_length}")
    if p.nullable:
        options.append("required: false")
    return f"{{{', '.join(options)}}}"
