"""The valid results of Tryton's methods: others are refused before they are used. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _is_descriptions(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(description, dict) for description in value.values()
    )


_OF_METHOD: Mapping[str, Callable[[Any], bool]] = {
    "search": _is_ids,
    "search_count": _is_number,
    "search_read": _is_rows,
    "fields_get": _is_descriptions,
}


def is_answer_of(method: str, value: Any) -> bool:
    """Whether a model's method may return that; True for unknown methods."""
    fits = _OF_METHOD.get(method)
    return fits is None or fits(value)


def has_fields(rows: list[Any], names: list[str]) -> bool:
    """Whether each row has its id and these fields."""
    wanted = {"id", *names}
    return all(wanted <= row.keys() for row in rows) and _is_ids([row["id"] for row in rows])
