"""Removes the columns that `mask:` keeps out of the log from a command's result. Pure.

A service returns the whole row that it created, and a statement may return any column: receipts are
log records just as events are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bridge.model.specs import EntitySpec

MaskedPaths = frozenset[tuple[str, ...]]
"""Column names in lower case, nested ones as paths (`Address/City`)."""


def masked_paths(entities: Iterable[EntitySpec]) -> MaskedPaths:
    """The source columns of every field with a mask."""
    return frozenset(
        tuple(column.lower().split("/"))
        for entity in entities
        for field in entity.fields
        if field.mask
        for column in field.columns
    )


def without_masked(result: str, masked: MaskedPaths) -> str | None:
    """`result` (JSON) without anything named like a masked column, at any depth; None if it can't
    be parsed.
    """
    if not masked:
        return result
    try:
        answer = json.loads(result)
        visible = _without(answer, masked, ())
        if visible == answer:
            return result
        return json.dumps(visible, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _without(value: Any, masked: MaskedPaths, where: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_without(item, masked, where) for item in value]
    if not isinstance(value, dict):
        return value
    visible = {}
    for name, item in value.items():
        path = (*where, str(name).lower())
        if not any(path[-depth:] in masked for depth in range(1, len(path) + 1)):
            visible[name] = _without(item, masked, path)
    return visible
