"""Which quick way the executor may take for a step, and the general way for every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.model.errors import ConfigurationError
from bridge.plan import opcodes
from bridge.plan.avro_encoder import encoder, key_encoder
from bridge.plan.convert import converter
from bridge.plan.steps import Plan, PlanStep, Wire

#: Transforms whose result depends on the value alone and may be remembered for a while.
_PURE = frozenset({"code_page", "trim", "format", "zone", "map", "zeros", "unit"})

_INTEGERS = {"int2": opcodes.INT, "int4": opcodes.INT, "int8": opcodes.INT, "oid": opcodes.OID}
_TEXTS = frozenset({"text", "varchar", "bpchar", "name", "xml", "citext", "enum"})
_WAYS: dict[tuple[str, str], int] = {
    **{(wire, "integer"): way for wire, way in _INTEGERS.items()},
    **{(wire, "string"): opcodes.TEXT for wire in _TEXTS},
    ("bool", "boolean"): opcodes.BOOL,
    ("float4", "float"): opcodes.FLOAT4,
    ("float8", "double"): opcodes.FLOAT8,
    ("json", "json"): opcodes.TEXT,
    ("json", "string"): opcodes.TEXT,
    ("text", "json"): opcodes.TEXT,
    ("jsonb", "json"): opcodes.JSONB,
    ("jsonb", "string"): opcodes.JSONB,
    ("bytea", "bytes"): opcodes.BYTES,
    ("date", "date"): opcodes.DATE,
    ("time", "time"): opcodes.TIME,
    ("timestamp", "local_timestamp"): opcodes.MOMENT,
    ("timestamptz", "timestamp"): opcodes.MOMENT,
    ("uuid", "uuid"): opcodes.UUID,
    ("uuid", "string"): opcodes.UUID,
    ("numeric", "decimal"): opcodes.DECIMAL,
    ("numeric", "string"): opcodes.NUMERIC,
    ("python", "boolean"): opcodes.PYBOOL,
    ("python", "integer"): opcodes.PYINT,
    ("python", "double"): opcodes.PYFLOAT,
    ("python", "string"): opcodes.PYTEXT,
    ("python", "json"): opcodes.PYTEXT,
    ("python", "bytes"): opcodes.PYBYTES,
    ("python", "decimal"): opcodes.PYDECIMAL,
    ("python", "timestamp"): opcodes.PYMOMENT,
    ("python", "local_timestamp"): opcodes.PYLOCAL,
    ("python", "date"): opcodes.PYDATE,
}


def fast_path(step: PlanStep, wire: Wire) -> int:
    """The quick way of a step. It may still leave single values to the general way."""
    names = [part.name for part in step.transforms]
    if step.columns and any(
        part.name == "mask" and part.args[0] == "drop" for part in step.transforms
    ):
        return opcodes.DROP
    if not step.columns:
        return opcodes.DROP
    code = step.wires[0]
    if wire is Wire.PYTHON and not code.startswith("text:"):
        code = "python"
    way = _WAYS.get((code, step.target.name), opcodes.SLOW)
    if not names:
        return way
    if way == opcodes.TEXT and set(names) <= {"trim", "zeros"}:
        return way
    return opcodes.MEMO if set(names) <= _PURE else opcodes.SLOW


class FastPaths:
    """The steps of a plan as functions; `bytes_of` the general way from contents to Avro bytes."""

    def __init__(self, plan: Plan, mask_key: bytes | None) -> None:
        entity = plan.entity
        self.converts = [
            converter(step, entity.qualified, mask_key) if step.columns else _nothing
            for step in plan.steps
        ]
        self.quick = [fast_path(step, plan.wire) for step in plan.steps]
        self.encodes = [encoder(step.target) for step in plan.steps]
        index = {step.field: at for at, step in enumerate(plan.steps)}
        missing = [name for name in entity.key if name not in index]
        if missing:
            raise ConfigurationError(f"{entity.qualified}: no step makes key field {missing[0]!r}")
        self.key = [index[name] for name in entity.key]
        self.key_encodes = [key_encoder(plan.steps[at].target) for at in self.key]
        #: Whether a key field has the same bytes in the key as in the row.
        self.same = [
            plan.steps[at].target.name in {"integer", "boolean", "string", "uuid"}
            for at in self.key
        ]
        self.trims = [any(part.name == "trim" for part in step.transforms) for step in plan.steps]
        self.zeros = [
            next((int(part.args[0]) for part in step.transforms if part.name == "zeros"), 0)
            for step in plan.steps
        ]


def _nothing(_: Sequence[tuple[int, Any]]) -> None:
    return None
