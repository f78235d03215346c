"""What the answer to an Ask is, by a plain look at each row. Pure, and shares no code with readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from typing import Any

from bridge.connector import Ask, ColumnCondition, ColumnOrder

Row = Mapping[str, Any]


def right_rows(ask: Ask, rows: Sequence[Row]) -> list[Row]:
    """The rows that answer `ask`, in its order, which names the whole key if there is one."""
    order = ask.order
    matching = [row for row in rows if _matches(ask, row)]
    matching.sort(key=cmp_to_key(lambda row, other: _compared(order, row, other)))
    if ask.after is not None:
        cursor = {part.column: value for part, value in zip(order, ask.after, strict=True)}
        matching = [row for row in matching if _compared(order, row, cursor) > 0]
    if ask.per_key is not None:
        matching = _first_of_each(ask, matching, ask.per_key)
    return matching if ask.limit is None else matching[: ask.limit]


def _matches(ask: Ask, row: Row) -> bool:
    if ask.columns and tuple(row[column] for column in ask.columns) not in map(tuple, ask.keys):
        return False
    return all(_holds(condition, row[condition.column]) for condition in ask.where)


def _holds(condition: ColumnCondition, value: Any) -> bool:
    values = condition.values
    if value is None:
        return False
    match condition.operator:
        case "<":
            return bool(value < values[0])
        case "<=":
            return bool(value <= values[0])
        case ">":
            return bool(value > values[0])
        case ">=":
            return bool(value >= values[0])
        case "between":
            return bool(values[0] <= value <= values[1])
        case "in":
            return value in values


def _compared(order: Sequence[ColumnOrder], row: Row, other: Row) -> int:
    """Less than 0 if `row` is before `other`, 0 if neither is."""
    for part in order:
        left, right = row[part.column], other[part.column]
        if left is None and right is None:
            continue
        if left is None or right is None:
            is_first = (left is None) == (part.nulls == "first")
            return -1 if is_first else 1
        if left != right:
            return -1 if (left < right) != part.descending else 1
    return 0


def _first_of_each(ask: Ask, rows: Sequence[Row], most: int) -> list[Row]:
    counts: Counter[tuple[Any, ...]] = Counter()
    first = []
    for row in rows:
        key = tuple(row[column] for column in ask.columns)
        counts[key] += 1
        if counts[key] <= most:
            first.append(row)
    return first
