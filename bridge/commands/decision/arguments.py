"""Declared commands: their arguments, checked all at once, and the effect that they become."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from bridge.connector import Effect, Shape
from bridge.model.argument_values import value_of
from bridge.model.command import CommandRecord
from bridge.model.conversion_error import ConversionError
from bridge.model.errors import Rejected
from bridge.model.specs import ArgSpec, CommandSpec
from bridge.ports.entity_mapping import EntityMapping

Guard = Callable[[Shape | None, Any], None]


def find_command(commands: Mapping[str, CommandSpec], name: str) -> CommandSpec:
    """The command of that name (`system.command`). Raises Rejected (`unknown_command`)."""
    found = commands.get(name)
    if found is None:
        near = difflib.get_close_matches(name, commands, 1)
        there = f"did you mean {near[0]}?" if near else f"there are {', '.join(commands) or 'none'}"
        raise Rejected("unknown_command", f"command {name} is not declared; {there}")
    return found


def check_args(spec: CommandSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument's value, defaults included. Raises Rejected (`bad_args`) with all problems."""
    declared = {arg.name: arg for arg in spec.args}
    values: dict[str, Any] = {}
    problems = [
        f"{name} is not an argument; there are {', '.join(declared) or 'none'}"
        for name in given
        if name not in declared
    ]
    for name, arg in declared.items():
        value = given.get(name, arg.default)
        if value is None:
            values[name] = None
            if arg.required:
                problems.append(f"{name} is missing")
            continue
        try:
            values[name] = _checked(arg, value_of(arg.type, value))
        except ConversionError as unfit:
            problems.append(f"{name} {unfit}")
    if problems:
        raise Rejected("bad_args", f"{spec.qualified}: {'; '.join(problems)}")
    return values


def _checked(arg: ArgSpec, value: Any) -> Any:
    if arg.max_length is not None and len(value) > arg.max_length:
        raise ConversionError(f"should have at most {arg.max_length} characters, not {len(value)}")
    # Not `value < minimum`: NaN is neither below nor above anything.
    if arg.minimum is not None and not value >= value_of(arg.type, arg.minimum):
        raise ConversionError(f"should be at least {arg.minimum}, not {value}")
    if arg.maximum is not None and not value <= value_of(arg.type, arg.maximum):
        raise ConversionError(f"should be at most {arg.maximum}, not {value}")
    if arg.pattern and not re.fullmatch(arg.pattern, value):
        raise ConversionError(f"should match {arg.pattern}")
    if arg.choices and value not in [value_of(arg.type, choice) for choice in arg.choices]:
        raise ConversionError(f"should be one of {', '.join(map(str, arg.choices))}, not {value}")
    return value


def make_effect(
    spec: CommandSpec,
    table: EntityMapping,
    record: CommandRecord,
    *,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    guard: Guard | None,
) -> Effect:
    """The effect of a checked command: its statement, and all that it binds.

    `:key` (or `:key_FIELD`) is the key in the source's own form, `:id` the command's id, by which
    a system can be asked for what it made. Raises Rejected (`bad_key`).
    """
    names = table.entity.key
    if set(key) != set(names):
        raise Rejected(
            "bad_key",
            f"{spec.qualified}: the key of {table.entity.qualified} has the fields "
            f"{', '.join(names)}, not {', '.join(key) or 'none'}",
        )
    for name, value in key.items():
        if value is None or isinstance(value, (list, dict)):
            raise Rejected(
                "bad_key", f"{spec.qualified}: key field {name!r} is {value!r:.60}, not one value"
            )
    parameters = {"id": record.id, **values}
    columns: dict[str, Any] = {}
    for name in names:
        source = table.outward((name,), (key[name],))
        columns.update(zip(table.columns((name,)), source, strict=True))
        if len(source) == 1:
            parameters[f"key_{name}"] = source[0]
            if len(names) == 1:
                parameters["key"] = source[0]
    return Effect(
        command_id=record.id,
        digest=record.digest,
        statement=spec.run,
        parameters=parameters,
        table=table.spec.table,
        key=columns,
        guard=guard,
        many=spec.many,
        probe=spec.probe,
        types={arg.name: arg.type for arg in spec.args},
    )
