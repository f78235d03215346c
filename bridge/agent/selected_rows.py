"""Ranges, orders and pages over rows in memory, as a legacy system answers them. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bridge.model.errors import Rejected
from bridge.model.row_selection import RowSelection
from bridge.model.suggestions import did_you_mean

Row = Mapping[str, Any]
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "between": lambda value, ends: bool(ends[0] <= value <= ends[1]),
    "in": lambda value, values: value in values,
}


def select_rows(
    rows: Sequence[Row], key: Sequence[str], where: Mapping[str, Any], selection: RowSelection
) -> list[Row]:
    """The rows that fulfil the ranges in `where`, sorted and from the cursor on. Raises Rejected."""
    matching = [row for row in rows if _fulfils(row, where)]
    order = (*selection.order, *(name for name in key if f"-{name}" not in selection.order))
    if selection.order or selection.continue_after is not None:
        for name in reversed(order):
            field = name.removeprefix("-")
            matching.sort(key=lambda row: _sort_key(row[field]), reverse=name.startswith("-"))
    if selection.continue_after is None:
        return matching
    return [row for row in matching if _is_after(row, selection.continue_after, order)]


def projected(row: Row, key: Sequence[str], selection: RowSelection) -> Row:
    """The row with the fields that were asked for, those of the order and the key."""
    if selection.fields is None:
        return row
    ordered = [name.removeprefix("-") for name in selection.order]
    return {name: row.get(name) for name in (*key, *ordered, *selection.fields)}


def _fulfils(row: Row, where: Mapping[str, Any]) -> bool:
    for name, operators in where.items():
        if not isinstance(operators, Mapping):
            continue
        for name_of_operator, value in operators.items():
            compare = _COMPARISONS.get(name_of_operator)
            if compare is None:
                hint = did_you_mean(str(name_of_operator), _COMPARISONS, list_all=True)
                raise Rejected(
                    "bad_query", f"field {name!r}: {name_of_operator!r} is no operator{hint}"
                )
            if row.get(name) is None or not compare(row[name], value):
                return False
    return True


def _sort_key(value: Any) -> tuple[bool, Any]:
    return (value is not None, 0 if value is None else value)


def _is_after(row: Row, cursor: Any, order: Sequence[str]) -> bool:
    for name in order:
        field = name.removeprefix("-")
        value, other = _sort_key(row[field]), _sort_key(cursor[field])
        if value != other:
            return (value > other) != name.startswith("-")
    return False
