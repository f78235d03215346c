"""The plan run outwards: values of fields to values of source columns, for reads and commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bridge.model.conversion_error import ConversionError
from bridge.model.encoded_text import EncodedText
from bridge.model.error_text import describe_error, error_name
from bridge.model.errors import Rejected
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.plan.coerce import coercer, text_of
from bridge.plan.coerce_number import EXACT, MAX_LONG, MIN_LONG
from bridge.plan.steps import Plan, PlanStep, Transform
from bridge.plan.time_format import zone_of


def not_invertible(field: FieldSpec) -> str:
    """Why values of `field` can't be turned back into its column's, or "" when they can."""
    if len(field.columns) > 1:
        return f"it joins {len(field.columns)} columns"
    if field.mask:
        return f"`mask: {field.mask}` can't be undone"
    if field.call:
        return f"nobody knows how to undo {field.call!r}"
    if field.format:
        return "`format` reads several texts as one timestamp"
    if field.zone:
        return "`zone` joins the two hours that come twice"
    if field.unit and not _terminates(field.unit):
        return f"dividing by `unit` {field.unit} has no exact end"
    if field.map is not None:
        values = [text_of(value) if value is not None else "null" for value in field.map.values()]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            return f"its `map` makes {twice[0]!r} of several values"
    return ""


_NUMBERS: Final = frozenset({"integer", "decimal", "float", "double"})
_WITHOUT_ORDER: Final = frozenset({"json", "array", "bytes"})


def why_unordered(step: PlanStep) -> str:
    """Why the source compares the step's column otherwise than the field's values; "" if it doesn't."""
    target = step.target.name
    if step.transforms:
        return f"`{step.transforms[0].name}` makes it of its column"
    source = step.sources[0].name if step.sources else target
    if target in _WITHOUT_ORDER:
        return f"it is of type {target}, which has no order"
    if source == target or {source, target} <= _NUMBERS:
        return ""
    return f"it is of type {target}, and its column of type {source}"


def lookup_problems(
    spec: EntitySpec, others: Iterable[EntitySpec], key: Sequence[str] = ()
) -> list[str]:
    """Fields of `spec` that are asked for by value and can't be: keys, and both ends of the
    relations of all entities of the system. One sentence each. `key` is the entity's, where the
    declaration leaves it to the catalogue.
    """
    uses = dict.fromkeys(key or spec.key, "the key")
    for relation in spec.relations:
        for name in relation.from_fields:
            uses[name] = f"relation {relation.name!r}"
    for other in others:
        for relation in other.relations:
            if relation.entity == spec.name:
                for name in relation.by_fields:
                    uses[name] = f"relation {relation.name!r} of {other.qualified}"
    fields = {field.name: field for field in spec.fields}
    problems = []
    for name, use in uses.items():
        why = not_invertible(fields[name]) if name in fields else ""
        if why:
            problems.append(
                f"{spec.qualified}: field {name!r} is used in {use}, so that its values must lead "
                f"back to the source's, but {why}; use another field there"
            )
    return problems


def to_source(plan: Plan, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of fields as the source's columns hold them. A list, tuple or set (for a field that
    is no array) stands for any of its values, and each is turned.

    Raises Rejected (`bad_key`) that names the field and why.
    """
    steps = {step.field: step for step in plan.steps}
    source_values: dict[str, Any] = {}
    for name, value in values.items():
        step = steps.get(name)
        if step is None:
            raise Rejected(
                "bad_key",
                f"{plan.entity.qualified} has no field {name!r}; it has {', '.join(steps)}",
            )
        turn = source_converter(step, plan.entity.qualified)
        many = isinstance(value, (list, tuple, set, frozenset)) and step.target.name != "array"
        source_values[step.names[0]] = [turn(each) for each in value] if many else turn(value)
    return source_values


def are_unchanged(step: PlanStep, values: Sequence[Any]) -> bool:
    """Whether `source_converter` leaves these values as they are, if that is quickly seen: integers
    of 64 bits for an integer column, ASCII text for a text column. False without values.
    """
    kind = unchanged_type(step)
    if kind is None or set(map(type, values)) != {kind}:
        return False
    if kind is int:
        return bool(min(values) >= MIN_LONG and max(values) <= MAX_LONG)
    return "".join(values).isascii()


def unchanged_type(step: PlanStep) -> type | None:
    """The type whose values `source_converter` leaves as they are: int, of 64 bits, or str, of ASCII."""
    if len(step.columns) != 1 or step.transforms or step.sources[:1] != (step.target,):
        return None
    return {"integer": int, "string": str}.get(step.target.name)


def source_converter(step: PlanStep, entity: str) -> Callable[[Any], Any]:
    """The function from a field's value to its column's. Raises Rejected if there is none."""
    field_text = f"{entity}, field {step.field!r}"
    if len(step.columns) != 1:
        raise Rejected(
            "bad_key", f"{field_text}: it isn't made from one column, so nothing can be asked by it"
        )
    fit = coercer(step.target)
    backs = [_back(part, field_text) for part in reversed(step.transforms)]
    # What already fits the field's type, unchanged, fits a column of the same type.
    is_same = not backs and step.sources[:1] == (step.target,)
    source = coercer(step.sources[0]) if step.sources and not is_same else None
    encoded = any(part.name == "code_page" for part in step.transforms)
    masked = any(part.name == "mask" for part in step.transforms)

    def turn(value: Any) -> Any:
        if value is None:
            return None
        try:
            turned = fit(value)
            for back in backs:
                turned = back(turned)
            return turned if encoded or source is None or turned is None else source(turned)
        except ConversionError as refusal:
            raise Rejected("bad_key", f"{field_text}: {refusal.describe(masked=masked)}") from None
        except Exception as error:
            # Whatever the value is: its text may hold it, so that a masked field's isn't shown.
            why = error_name(error) if masked else describe_error(error)
            raise Rejected("bad_key", f"{field_text}: {why}") from error

    return turn


def _back(part: Transform, field_text: str) -> Callable[[Any], Any]:
    """The inverse of one transform."""
    if part.name == "trim":
        return lambda value: value
    if part.name == "zeros":
        return _pad(part.args[0])
    if part.name == "map":
        return _unmap(part.args)
    if part.name == "code_page":
        return _encode(part.args[0])
    if part.name == "unit" and _terminates(part.args[0]):
        factor = Decimal(part.args[0])
        return lambda value: EXACT.divide(Decimal(value), factor)
    if part.name == "zone":
        zone = zone_of(part.args[0])
        return lambda value: value.astimezone(zone).replace(tzinfo=None, fold=0)
    if part.name == "format":
        return _written(part.args[0], part.args[1])
    raise Rejected(
        "bad_key", f"{field_text}: nothing can be asked by it, because it has `{part.name}`"
    )


def _pad(width: int) -> Callable[[Any], str]:
    def pad(value: Any) -> str:
        text = text_of(value)
        return text.zfill(width) if text.isascii() and text.isdigit() else text

    return pad


def _unmap(pairs: Sequence[tuple[Any, Any]]) -> Callable[[Any], Any]:
    table: dict[str, str] = {}
    for source, value in pairs:
        if value is not None:
            # Where several source values mean the same, the first one is asked for.
            table.setdefault(text_of(value), text_of(source))

    def unmap(value: Any) -> str:
        text = text_of(value)
        if text not in table:
            raise ConversionError(f"not a value of its `map` ({', '.join(table)})", text)
        return table[text]

    return unmap


def _encode(name: str) -> Callable[[Any], EncodedText]:
    def encode(value: Any) -> EncodedText:
        try:
            return EncodedText(text_of(value).encode(name))
        except UnicodeEncodeError:
            raise ConversionError(f"text that code page {name} doesn't have", value) from None

    return encode


def _written(text: str, zone: str) -> Callable[[Any], str]:
    time_zone = zone_of(zone) if zone else None

    def write(value: Any) -> str:
        if time_zone is not None and isinstance(value, datetime):
            value = value.astimezone(time_zone)
        text_value: str = value.strftime(text)
        return text_value

    return write


def _terminates(unit: str) -> bool:
    """Whether dividing by this decimal factor always ends: it has no prime factors but 2 and 5."""
    digits = int("".join(map(str, Decimal(unit).as_tuple().digits)))
    for prime in (2, 5):
        while digits and digits % prime == 0:
            digits //= prime
    return digits == 1
