"""What the answers of Tryton's methods look like: whatever else comes is refused before it is used. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**63 for one in value)


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _fields(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(says, dict) for says in value.values())


_OF_METHOD: Mapping[str, Callable[[Any], bool]] = {
    "search": _ids,
    "search_count": _number,
    "search_read": _rows,
    "fields_get": _fields,
}


def is_answer_of(method: str, value: Any) -> bool:
    """Whether a model's method may answer that; true of methods that are not known here."""
    fits = _OF_METHOD.get(method)
    return fits is None or fits(value)


def has_fields(rows: list[Any], names: list[str]) -> bool:
    """Whether each row has its id and these fields."""
    wanted = {"id", *names}
    return all(wanted <= row.keys() for row in rows) and _ids([row["id"] for row in rows])
