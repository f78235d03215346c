"""Finds the declaration of a command, and checks its arguments, all at once. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from bridge.model.argument_values import value_of
from bridge.model.conversion_error import ConversionError
from bridge.model.errors import Rejected
from bridge.model.specs import ArgSpec, CommandSpec


def qualify_command(commands: Collection[str], name: str) -> str:
    """`system.command` for a command's own name where one system has it; else `name` as it is."""
    same = [command for command in commands if command.partition(".")[2] == name]
    return same[0] if len(same) == 1 else name


def find_command(commands: Mapping[str, CommandSpec], name: str) -> CommandSpec:
    """The command of that name (`system.command`). Raises Rejected (`unknown_command`)."""
    spec = commands.get(name)
    if spec is None:
        similar = difflib.get_close_matches(name, commands, 1)
        hint = (
            f"did you mean {similar[0]}?"
            if similar
            else f"there are {', '.join(commands) or 'none'}"
        )
        raise Rejected("unknown_command", f"command {name} is not declared; {hint}")
    return spec


def check_args(spec: CommandSpec, args: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments' values, defaults included. Raises Rejected (`bad_args`) that lists all
    problems.
    """
    declared = {arg.name: arg for arg in spec.args}
    values: dict[str, Any] = {}
    problems = [
        f"{name} is not an argument; there are {', '.join(declared) or 'none'}"
        for name in args
        if name not in declared
    ]
    for name, arg in declared.items():
        value = args.get(name, arg.default)
        if value is None:
            values[name] = None
            if arg.required:
                problems.append(f"{name} is missing")
            continue
        try:
            values[name] = _checked(arg, value_of(arg.type, value))
        except ConversionError as error:
            problems.append(f"{name} {error}")
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
