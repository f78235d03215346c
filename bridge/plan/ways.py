"""Which quick way the executor may take for a step, and the general way for every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.model.errors import ConfigurationError
from bridge.plan import plain
from bridge.plan.convert import converter
from bridge.plan.encode import encoder, key_encoder
from bridge.plan.steps import Plan, Step, Wire

#: Transforms whose result depends on the value alone and may be remembered for a while.
_PURE = frozenset({"code_page", "trim", "format", "zone", "map", "zeros", "unit"})

_INTEGERS = {"int2": plain.INT, "int4": plain.INT, "int8": plain.INT, "oid": plain.OID}
_TEXTS = frozenset({"text", "varchar", "bpchar", "name", "xml", "citext", "enum"})
_WAYS: dict[tuple[str, str], int] = {
    **{(wire, "integer"): way for wire, way in _INTEGERS.items()},
    **{(wire, "string"): plain.TEXT for wire in _TEXTS},
    ("bool", "boolean"): plain.BOOL,
    ("float4", "float"): plain.FLOAT4,
    ("float8", "double"): plain.FLOAT8,
    ("json", "json"): plain.TEXT,
    ("json", "string"): plain.TEXT,
    ("text", "json"): plain.TEXT,
    ("jsonb", "json"): plain.JSONB,
    ("jsonb", "string"): plain.JSONB,
    ("bytea", "bytes"): plain.BYTES,
    ("date", "date"): plain.DATE,
    ("time", "time"): plain.TIME,
    ("timestamp", "local_timestamp"): plain.MOMENT,
    ("timestamptz", "timestamp"): plain.MOMENT,
    ("uuid", "uuid"): plain.UUID,
    ("uuid", "string"): plain.UUID,
    ("numeric", "decimal"): plain.DECIMAL,
    ("numeric", "string"): plain.NUMERIC,
    ("python", "boolean"): plain.PYBOOL,
    ("python", "integer"): plain.PYINT,
    ("python", "double"): plain.PYFLOAT,
    ("python", "string"): plain.PYTEXT,
    ("python", "json"): plain.PYTEXT,
    ("python", "bytes"): plain.PYBYTES,
    ("python", "decimal"): plain.PYDECIMAL,
    ("python", "timestamp"): plain.PYMOMENT,
    ("python", "local_timestamp"): plain.PYLOCAL,
    ("python", "date"): plain.PYDATE,
}


def quick_way(step: Step, wire: Wire) -> int:
    """The quick way of a step. It may still leave single values to the general way."""
    names = [part.name for part in step.transforms]
    if step.columns and any(
        part.name == "mask" and part.args[0] == "drop" for part in step.transforms
    ):
        return plain.DROP
    if not step.columns:
        return plain.DROP
    code = step.wires[0]
    if wire is Wire.PYTHON and not code.startswith("text:"):
        code = "python"
    way = _WAYS.get((code, step.target.kind), plain.SLOW)
    if not names:
        return way
    if way == plain.TEXT and set(names) <= {"trim", "zeros"}:
        return way
    return plain.MEMO if set(names) <= _PURE else plain.SLOW


class Ways:
    """The steps of a plan as functions; `bytes_of` the general way from contents to Avro bytes."""

    def __init__(self, plan: Plan, mask_key: bytes | None) -> None:
        entity = plan.entity
        self.converts = [
            converter(step, entity.qualified, mask_key) if step.columns else _nothing
            for step in plan.steps
        ]
        self.quick = [quick_way(step, plan.wire) for step in plan.steps]
        self.encodes = [encoder(step.target) for step in plan.steps]
        index = {step.field: at for at, step in enumerate(plan.steps)}
        missing = [name for name in entity.key if name not in index]
        if missing:
            raise ConfigurationError(f"{entity.qualified}: no step makes key field {missing[0]!r}")
        self.key = [index[name] for name in entity.key]
        self.key_encodes = [key_encoder(plan.steps[at].target) for at in self.key]
        #: Whether a key field has the same bytes in the key as in the row.
        self.same = [
            plan.steps[at].target.kind in {"integer", "boolean", "string", "uuid"}
            for at in self.key
        ]
        self.trims = [any(part.name == "trim" for part in step.transforms) for step in plan.steps]
        self.zeros = [
            next((int(part.args[0]) for part in step.transforms if part.name == "zeros"), 0)
            for step in plan.steps
        ]


def _nothing(_: Sequence[tuple[int, Any]]) -> None:
    return None
