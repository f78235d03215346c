"""The payloads of frames. Pure: questions, answers in parts, shapes and errors as bytes and back.

Every decoder raises BadFrame for what no encoder here makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bridge.connector import Column, Shape
from bridge.connector.ask import OPERATORS, Ask, ColumnCondition, ColumnOrder, ReaderFeatures
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.remote.column_codec import (
    append_column,
    append_rows,
    decode_column,
    decode_rows,
)
from bridge.gateway.remote.value_codec import (
    BadFrame,
    ByteCursor,
    append_count,
    append_value,
)
from bridge.model.errors import ConfigurationError
from bridge.model.types import parse_type
from bridge.plan.steps import Wire

_RAW, _PYTHON = 0, 1


class SentAsk(NamedTuple):
    """A question on its way to the owner: for whom it is, and the question, whose deadline is by the
    clock of whoever decoded it.
    """

    work: WorkClass
    ask: Ask


class AnswerPart(NamedTuple):
    """Some of an answer's rows.

    shape: the number of their shape. visibility, server: in the last part; as the connector writes
    the one, as `Rows.server`.
    """

    shape: int
    rows: list[Any]
    is_last: bool = True
    visibility: str | None = None
    server: str = ""


class Registration(NamedTuple):
    """What a client says first.

    bridge, system: what it wants to read. token: what it may be known by; "" over a socket of this
    machine. instance: its name, for people.
    """

    bridge: str
    system: str
    token: str
    instance: str


class Welcome(NamedTuple):
    """What the owner answers to a registration.

    instance, generation: of the owner. max_keys, features: of its Reader. max_requests: questions that
    this client may have open.
    """

    instance: str
    generation: int
    max_keys: int
    features: ReaderFeatures
    max_requests: int


def encode_ask(sent: SentAsk, now: float) -> bytes:
    """now: the clock of the deadline, of which only what is left is sent."""
    ask = sent.ask
    left = None if ask.deadline is None else float(ask.deadline - now)
    out = bytearray()
    append_value(
        out,
        (
            int(sent.work),
            ask.table,
            tuple(ask.columns),
            ask.fields,
            tuple(map(tuple, ask.where)),
            tuple(map(tuple, ask.order)),
            ask.per_key,
            ask.after,
            ask.limit,
            left,
        ),
    )
    append_rows(out, [tuple(key) for key in ask.keys])
    return bytes(out)


def decode_ask(payload: bytes, now: float) -> SentAsk:
    """now: by whose clock the deadline is meant."""
    cursor = ByteCursor(payload)
    fields = cursor.value()
    keys = decode_rows(cursor)
    cursor.end()
    try:
        work, table, columns, needed, where, order, per_key, after, limit, left = fields
        ask = Ask(
            _checked(table, str),
            _texts(columns),
            keys,
            None if needed is None else _texts(needed),
            tuple(_condition(*item) for item in where),
            tuple(_order(*item) for item in order),
            _natural(per_key),
            None if after is None else _checked(after, tuple),
            _natural(limit),
            None if left is None else now + _checked(left, float),
        )
        return SentAsk(WorkClass(work), ask)
    except (TypeError, ValueError) as error:
        raise BadFrame(f"no question: {error}") from None


def encode_part(part: AnswerPart, wire: Wire) -> bytes:
    """wire: of the rows' shape. Raises Unsendable for a value that can't be sent."""
    out = bytearray((part.is_last,))
    append_count(out, part.shape)
    if part.is_last:
        append_value(out, part.visibility)
        append_value(out, part.server)
    if wire is Wire.PYTHON:
        out.append(_PYTHON)
        append_rows(out, part.rows)
    else:
        out.append(_RAW)
        append_count(out, len(part.rows))
        append_column(out, [bytes(row) for row in part.rows])
    return bytes(out)


def decode_part(payload: bytes) -> AnswerPart:
    """The part, with rows as they were."""
    cursor = ByteCursor(payload)
    is_last = bool(cursor.byte())
    shape = cursor.count()
    visibility, server = (cursor.value(), cursor.value()) if is_last else (None, "")
    if not isinstance(visibility, str | None) or type(server) is not str:
        raise BadFrame("an answer's visibility and server are no texts")
    rows: Sequence[Any]
    if cursor.byte() == _PYTHON:
        rows = decode_rows(cursor)
    else:
        count = cursor.count()
        if count > len(payload):
            raise BadFrame(f"{count} raw rows in {len(payload)} bytes")
        rows = decode_column(cursor, count)
    cursor.end()
    return AnswerPart(shape, list(rows), is_last, visibility, server)


def encode_shape(number: int, shape: Shape) -> bytes:
    """The shape that later parts mean by this number."""
    out = bytearray()
    columns = tuple(
        (item.name, item.native, str(item.type), item.wire, item.nullable, item.key, item.captured)
        for item in shape.columns
    )
    append_value(out, (number, shape.table, shape.wire.value, shape.before, columns))
    return bytes(out)


def decode_shape(payload: bytes) -> tuple[int, Shape]:
    """The number, and a new Shape."""
    cursor = ByteCursor(payload)
    fields = cursor.value()
    cursor.end()
    try:
        number, table, wire, before, columns = fields
        if before not in ("full", "none"):
            raise BadFrame(f"no form of old rows: {before!r}")
        shape = Shape(
            _checked(table, str), tuple(_column(*item) for item in columns), Wire(wire), before
        )
        return _checked(number, int), shape
    except (TypeError, ValueError, ConfigurationError) as error:
        raise BadFrame(f"no shape: {error}") from None


def encode_registration(registration: Registration) -> bytes:
    """The payload of a hello."""
    out = bytearray()
    append_value(out, tuple(registration))
    return bytes(out)


def decode_registration(payload: bytes) -> Registration:
    """What a client said."""
    return Registration(*_texts(_fields_of(payload, len(Registration._fields))))


def encode_welcome(welcome: Welcome) -> bytes:
    """The payload of a welcome. Abilities are sent by name: another version may have others."""
    instance, generation, max_keys, features, max_requests = welcome
    names = [name for name in ReaderFeatures.__dataclass_fields__ if name != "where"]
    abilities = {name: getattr(features, name) for name in names}
    where = tuple(sorted(features.where))
    out = bytearray()
    append_value(out, (instance, generation, max_keys, max_requests, abilities, where))
    return bytes(out)


def decode_welcome(payload: bytes) -> Welcome:
    """What the owner said. What it can do that isn't known here isn't used."""
    instance, generation, max_keys, max_requests, abilities, where = _fields_of(payload, 6)
    try:
        can = {
            name: bool(abilities[name])
            for name in ReaderFeatures.__dataclass_fields__
            if name in abilities and name != "where"
        }
        features = ReaderFeatures(**can, where=frozenset(where) & frozenset(OPERATORS))
        return Welcome(
            _checked(instance, str),
            _checked(generation, int),
            max(1, _checked(max_keys, int)),
            features,
            max(1, _checked(max_requests, int)),
        )
    except (TypeError, ValueError) as error:
        raise BadFrame(f"no welcome: {error}") from None


def encode_values(fields: Mapping[str, Any]) -> bytes:
    """Named values, as errors are sent."""
    out = bytearray()
    append_value(out, dict(fields))
    return bytes(out)


def decode_values(payload: bytes) -> dict[str, Any]:
    """The values of `encode_values`."""
    cursor = ByteCursor(payload)
    fields = cursor.value()
    cursor.end()
    if type(fields) is not dict or not all(type(name) is str for name in fields):
        raise BadFrame("no named values")
    return fields


def _fields_of(payload: bytes, count: int) -> tuple[Any, ...]:
    cursor = ByteCursor(payload)
    fields = cursor.value()
    cursor.end()
    if type(fields) is not tuple or len(fields) != count:
        raise BadFrame(f"it doesn't consist of {count} values")
    return fields


def _checked(value: Any, expected: type) -> Any:
    if type(value) is not expected:
        raise BadFrame(f"a {type(value).__name__} where a {expected.__name__} belongs")
    return value


def _natural(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise BadFrame("a number of rows is none")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if type(values) is not tuple or not all(type(value) is str for value in values):
        raise BadFrame("names are no texts")
    return values


def _condition(column: Any, operator: Any, values: Any) -> ColumnCondition:
    if operator not in OPERATORS:
        raise BadFrame(f"no operator: {operator!r}")
    return ColumnCondition(_checked(column, str), operator, _checked(values, tuple))


def _order(column: Any, descending: Any, nulls: Any) -> ColumnOrder:
    if nulls not in ("first", "last"):
        raise BadFrame("nulls are neither first nor last")
    return ColumnOrder(_checked(column, str), _checked(descending, bool), nulls)


def _column(*fields: Any) -> Column:
    """Of name, native type, type, wire; whether it may be null, is of the key, is captured."""
    texts = [_checked(text, str) for text in fields[:4]]
    flags = [_checked(flag, bool) for flag in fields[4:]]
    return Column(texts[0], texts[1], parse_type(texts[2]), texts[3], *flags)
