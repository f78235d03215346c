"""Bounds the work that a foreign Avro schema can cause, by the number of bytes read.

fastavro reads with any schema. With a self-referring one, a few hundred kB overflow the C stack,
which ends the process; with items of zero bytes (null, an empty record), a single count makes it
loop for as long as that says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import fastavro

MAX_NODES = 500
"""Maximum parts of one value, including those of nested records; the bridge's own have 50."""

_BYTES = {
    "null": 0,
    "boolean": 1,
    "int": 1,
    "long": 1,
    "float": 4,
    "double": 8,
    "bytes": 1,
    "string": 1,
    "enum": 1,
}


class _Cost(NamedTuple):
    """The minimum bytes of a value, and its number of parts."""

    least: int
    nodes: int


def parse_bounded(text: str) -> Any:
    """Parse a schema for fastavro and check its limits. Raises ValueError, or what fastavro
    raises.
    """
    schema = json.loads(text)
    check_limits(schema)
    return fastavro.parse_schema(schema)


def check_limits(schema: Any) -> None:
    """Raises ValueError for a schema whose reading isn't bounded by the bytes."""
    _cost(schema, "", {}, ())


def _cost(schema: Any, namespace: str, named: dict[str, _Cost], within: tuple[str, ...]) -> _Cost:
    if isinstance(schema, list):
        branches = [_cost(branch, namespace, named, within) for branch in schema]
        least = min((branch.least for branch in branches), default=0)
        return _bounded(1 + least, 1 + sum(branch.nodes for branch in branches))
    if isinstance(schema, str):
        return _of_name(schema, namespace, named, within)
    if not isinstance(schema, Mapping):
        raise ValueError(f"{schema!r:.60} is not an Avro schema")  # noqa: TRY004 - one error for all
    kind = schema.get("type")
    if kind in ("record", "error"):
        return _of_record(schema, namespace, named, within)
    if kind == "array":
        items = _cost(schema.get("items"), namespace, named, within)
        if items.least == 0:
            raise ValueError("an array of items of zero bytes can have any length")
        return _bounded(1, 1 + items.nodes)
    if kind == "map":
        return _bounded(1, 1 + _cost(schema.get("values"), namespace, named, within).nodes)
    if kind in ("fixed", "enum"):
        size = schema.get("size", 0) if kind == "fixed" else 1
        cost = _Cost(size if isinstance(size, int) else 0, 1)
        named[_full(schema, namespace)] = cost
        return cost
    return _cost(kind, namespace, named, within)


def _of_name(
    name: str, namespace: str, named: Mapping[str, _Cost], within: tuple[str, ...]
) -> _Cost:
    if name in _BYTES:
        return _Cost(_BYTES[name], 1)
    full = name if "." in name or not namespace else f"{namespace}.{name}"
    if full in within or name in within:
        raise ValueError(f"{name} contains itself, to any depth")
    cost = named.get(full) or named.get(name)
    if cost is None:
        raise ValueError(f"{name!r:.60} is not an Avro type")
    return cost


def _of_record(
    schema: Mapping[str, Any], namespace: str, named: dict[str, _Cost], within: tuple[str, ...]
) -> _Cost:
    full = _full(schema, namespace)
    inner = full.rpartition(".")[0]
    least, nodes = 0, 1
    for field in schema.get("fields", ()):
        cost = _cost(field["type"], inner, named, (*within, full))
        least, nodes = least + cost.least, nodes + cost.nodes
    cost = named[full] = _bounded(least, nodes)
    return cost


def _bounded(least: int, nodes: int) -> _Cost:
    if nodes > MAX_NODES:
        raise ValueError(f"a value has more than {MAX_NODES} parts")
    return _Cost(least, nodes)


def _full(schema: Mapping[str, Any], namespace: str) -> str:
    name = str(schema.get("name", ""))
    space = str(schema.get("namespace", "") or namespace)
    return name if "." in name or not space else f"{space}.{name}"
