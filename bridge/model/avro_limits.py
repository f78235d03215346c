"""What a foreign Avro schema may make a reader do: bounded by the bytes that are there.

fastavro reads by whatever schema it is given. One that refers to itself lets a few hundred kB of
bytes run over the C stack, which ends the process; items of no bytes at all (null, an empty record)
are as many as a number says, for as long as it takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import fastavro

MAX_NODES = 500
"""Parts of one value, those of the records in it among them; the bridge's own have 50."""

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
    """The fewest bytes of a value, and how many parts it is read in."""

    least: int
    nodes: int


def parse_bounded(text: str) -> Any:
    """The schema of this text, for fastavro to read by. Raises ValueError, or what fastavro raises."""
    schema = json.loads(text)
    check_limits(schema)
    return fastavro.parse_schema(schema)


def check_limits(schema: Any) -> None:
    """Raises ValueError for a schema by which reading isn't bounded by the bytes."""
    _cost(schema, "", {}, ())


def _cost(schema: Any, namespace: str, named: dict[str, _Cost], within: tuple[str, ...]) -> _Cost:
    if isinstance(schema, list):
        branches = [_cost(branch, namespace, named, within) for branch in schema]
        least = min((branch.least for branch in branches), default=0)
        return _bounded(1 + least, 1 + sum(branch.nodes for branch in branches))
    if isinstance(schema, str):
        return _of_name(schema, namespace, named, within)
    if not isinstance(schema, Mapping):
        raise ValueError(f"{schema!r:.60} is no Avro schema")  # noqa: TRY004 - one error for all
    kind = schema.get("type")
    if kind in ("record", "error"):
        return _of_record(schema, namespace, named, within)
    if kind == "array":
        items = _cost(schema.get("items"), namespace, named, within)
        if items.least == 0:
            raise ValueError("an array of items that take no bytes can be of any length")
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
        raise ValueError(f"{name} holds itself, to any depth")
    cost = named.get(full) or named.get(name)
    if cost is None:
        raise ValueError(f"{name!r:.60} is no Avro type")
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
