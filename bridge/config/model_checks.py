"""Checks values of the right type that may be meaningless: zones, code pages, factors, bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from bridge.config.models import ArgModel, FieldModel
from bridge.model.argument_values import value_of
from bridge.model.conversion_error import ConversionError
from bridge.model.errors import ConfigurationError
from bridge.model.types import FieldType, parse_type
from bridge.plan.inferred_type import unit_factor
from bridge.plan.steps import Transform
from bridge.plan.transform import function

KeyProblem = tuple[str, str]
"""The key, and what is wrong with its value."""


def field_problems(field: FieldModel) -> Iterator[KeyProblem]:
    """Transforms that are impossible for any columns."""
    transform_args = {
        "code_page": (field.code_page,),
        "format": (field.format, ""),  # its zone is checked separately
        "zone": (field.zone,),
    }
    for name, args in transform_args.items():
        if args[0] and (why := _refused(name, args)):
            yield name, why
    if field.unit:
        try:
            unit_factor(field.unit)
        except ConfigurationError as error:
            yield "unit", str(error)


def _refused(name: str, args: tuple[str, ...]) -> str:
    try:
        function(Transform(name, args), None)
    except (ConfigurationError, ValueError) as error:
        return str(error)
    return ""


def arg_problems(arg: ArgModel) -> Iterator[KeyProblem]:
    """Bounds and defaults that no value can meet."""
    kind = parse_type(arg.type)
    text = kind.name == "string"
    if arg.max_length is not None and not text:
        yield "max_length", f"max_length is for strings, not for {kind}"
    if arg.pattern and not text:
        yield "pattern", f"pattern is for strings, not for {kind}"
    elif arg.pattern:
        try:
            re.compile(arg.pattern)
        except re.error as error:
            yield "pattern", f"pattern is not a regular expression: {error}"
    wrong = False
    for name, limit in (("minimum", arg.minimum), ("maximum", arg.maximum)):
        if limit is not None and (why := _unfit(kind, limit)):
            wrong = True
            yield name, f"{name} {why}"
    for choice in arg.choices:
        if why := _unfit(kind, choice):
            wrong = True
            yield "choices", f"one of choices {why}"
    if arg.default is None:
        return
    if why := _unfit(kind, arg.default):
        yield "default", f"default {why}"
    elif not wrong and (why := _outside(arg, lambda limit: value_of(kind, limit))):
        yield "default", f"default {arg.default} {why}"


def _unfit(kind: FieldType, value: Any) -> str:
    try:
        value_of(kind, value)
    except ConversionError as error:
        return str(error)
    return ""


def _outside(arg: ArgModel, value: Callable[[Any], Any]) -> str:
    default = value(arg.default)
    if arg.minimum is not None and default < value(arg.minimum):
        return f"is below minimum {arg.minimum}"
    if arg.maximum is not None and default > value(arg.maximum):
        return f"is above maximum {arg.maximum}"
    if arg.choices and default not in [value(choice) for choice in arg.choices]:
        return "is not one of choices"
    return ""
