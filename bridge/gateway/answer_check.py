"""Whether an answer can be one to what was asked. Pure.

A Reader, or the system behind it, may ignore a part of the question: the answer then looks like any
other. Nothing of a wrong answer is used. Values are judged only where all systems compare them alike
(`bridge.connector.answer_check`); which rows belong to which keys is judged where they are aligned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from bridge.connector import Ask, ColumnCondition, ColumnOrder, Rows, Shape
from bridge.connector.answer_check import AskedKeys, may_equal, sorts_before
from bridge.gateway.row_alignment import fold_key
from bridge.gateway.row_keys import raw_key_values, row_keys
from bridge.gateway.source_rows import SourceRows
from bridge.plan.steps import MISSING, Wire
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]
WHAT_TO_DO = (
    "nothing of the answer was used. Ask for less of it (a smaller `limits.max_keys`), or have the "
    "connector corrected; `bridge.kit.connector` tests what a Reader has to answer"
)


def wrong_part(ask: Ask, answer: Rows) -> str:
    """What is wrong with the answer, as the end of a sentence; "" for nothing."""
    rows, shape = answer.rows, answer.shape
    if ask.limit is not None and len(rows) > ask.limit:
        return f"{len(rows)} rows, and the limit was {ask.limit}"
    names = [column.name for column in shape.columns]
    needed = (*ask.columns, *(ask.fields or ()), *(part.column for part in ask.order))
    if lacking := [name for name in needed if name not in names]:
        return f"no column {lacking[0]!r}, which was asked for"
    if shape.wire is not Wire.PYTHON or not rows:
        return ""
    return (
        (_repeated_row(shape, rows) if set(ask.columns) != key_of(shape) else "")
        or (_wrong_rows(ask, names, rows) if ask.where or ask.order else "")
        or (_too_many_of_a_key(ask, names, rows) if ask.per_key is not None else "")
    )


def wrong_form(answer: Rows) -> str:
    """Which row isn't one of the shape; "" if all are. For answers that can't be converted."""
    if answer.shape.wire is not Wire.PYTHON:
        return ""
    width = len(answer.shape.columns)
    for number, row in enumerate(answer.rows):
        if not isinstance(row, tuple):
            return f"row {number} is no tuple but of type {type(row).__name__}"
        if len(row) != width:
            return f"row {number} has {len(row)} values, and its shape {width} columns"
    return ""


def has_foreign_row(
    table: EntityMapping,
    fields: Sequence[str],
    columns: Sequence[str],
    keys: Sequence[Values],
    answer: SourceRows,
) -> bool:
    """Whether one of the rows is certainly of none of the keys, which are of these fields."""
    raw_values = raw_key_values(answer, columns)
    if raw_values is not None and _are_among(raw_values, {key[0] for key in keys}):
        return False
    found_keys = row_keys(table, fields, columns, answer, frozenset(keys))
    return foreign_row(keys, found_keys) is not None


def _are_among(values: Iterable[Any], requested: set[Any]) -> bool:
    """False also for values that have no hash, as no requested one has."""
    try:
        return requested.issuperset(values)
    except TypeError:
        return False


def foreign_row(keys: Iterable[Values], keys_of_rows: Sequence[Values]) -> int | None:
    """The index of the first row that no system takes for one of the keys; None: there is none."""
    requested = set(keys)
    if _are_among(keys_of_rows, requested):
        return None
    accepted = AskedKeys(requested)
    folded = set(map(fold_key, requested))
    for at, key in enumerate(keys_of_rows):
        if not accepted.accepts(key) and fold_key(key) not in folded:
            return at
    return None


def key_of(shape: Shape) -> set[str]:
    """The columns of the table's key."""
    return {column.name for column in shape.columns if column.key}


def _getter(names: Sequence[str], wanted: Iterable[str]) -> Callable[[Any], Any]:
    return itemgetter(*[names.index(name) for name in wanted])


def _repeated_row(shape: Shape, rows: Sequence[Any]) -> str:
    """A row that came twice, by the table's key. A lookup by the whole key sees it by itself."""
    slots = [at for at, column in enumerate(shape.columns) if column.key]
    if not slots:
        return ""
    try:
        distinct = len(set(map(itemgetter(*slots), rows)))
    except (TypeError, IndexError):  # A value that has no hash; a row that is none of the shape.
        return ""
    if distinct == len(rows):
        return ""
    return f"{len(rows) - distinct} of {len(rows)} rows twice, by the table's key"


def _wrong_rows(ask: Ask, names: Sequence[str], rows: Sequence[Any]) -> str:
    """A row that doesn't fulfil a condition, or isn't where the order has it."""
    for condition in ask.where:
        value_of = _getter(names, (condition.column,))
        if any(_certainly_fails(condition, value_of(row)) for row in rows):
            return (
                f"a row whose {condition.column!r} is not {condition.operator} what was asked for"
            )
    if not ask.order:
        return ""
    indexes = [names.index(part.column) for part in ask.order]
    before = ask.after
    for number, row in enumerate(rows):
        values = tuple([row[index] for index in indexes])
        if before is not None and _stands_before(ask.order, values, before):
            return f"row {number} out of order" if number else "a row before the cursor"
        before = values
    return ""


def _certainly_fails(condition: ColumnCondition, value: Any) -> bool:
    """Whether no system takes the value for one that fulfils the condition."""
    if value is MISSING:
        return False
    if value is None:
        return True
    values = condition.values
    match condition.operator:
        case "in":
            return not any(may_equal(value, wanted) for wanted in values)
        case "<":
            return sorts_before(values[0], value) or _is_same(value, values[0])
        case "<=":
            return sorts_before(values[0], value)
        case ">":
            return sorts_before(value, values[0]) or _is_same(value, values[0])
        case ">=":
            return sorts_before(value, values[0])
        case "between":
            return sorts_before(value, values[0]) or sorts_before(values[1], value)


def _is_same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and not isinstance(value, float) and bool(value == wanted)


def _stands_before(order: Sequence[ColumnOrder], values: Values, other: Values) -> bool:
    """Whether a row with these values certainly stands before the other."""
    for part, value, earlier in zip(order, values, other, strict=True):
        if value is MISSING or earlier is MISSING:
            return False
        if value is None and earlier is None:
            continue
        if value is None or earlier is None:
            return (value is None) == (part.nulls == "first")
        if _is_same(value, earlier):
            continue
        return sorts_before(earlier, value) if part.descending else sorts_before(value, earlier)
    return False


def _too_many_of_a_key(ask: Ask, names: Sequence[str], rows: Sequence[Any]) -> str:
    assert ask.per_key is not None  # noqa: S101 - asked for
    counts = Counter(map(_getter(names, ask.columns), rows))
    most = max(counts.values())
    if most <= ask.per_key:
        return ""
    return f"{most} rows of one key, and at most {ask.per_key} were asked for"
