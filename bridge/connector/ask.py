"""The one question that a Reader answers. Plain values only, so that it can be sent to another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

from bridge.model.errors import Rejected

Operator = Literal["<", "<=", ">", ">=", "between", "in"]
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)


class ColumnCondition(NamedTuple):
    """A condition on one column, which no null fulfils.

    column: a source column.
    operator: as SQL has it.
    values: source values, none of them null: two for `between`, which includes both; any number for
    `in`; otherwise one.
    """

    column: str
    operator: Operator
    values: tuple[Any, ...]


class ColumnOrder(NamedTuple):
    """Rows are sorted by this column, text by the source's own collation.

    column: a source column.
    descending: the largest first.
    nulls: where rows stand that have no value, whatever the direction.
    """

    column: str
    descending: bool = False
    nulls: Literal["first", "last"] = "last"


class Ask(NamedTuple):
    """One question about the current rows of a table.

    table: its name in the source.
    columns: source columns whose values `keys` has; empty together with `keys`: all rows.
    keys: at most `Reader.max_keys` tuples of source values, aligned with `columns`; a row answers if
    it equals one of them. A key that contains a null equals nothing.
    fields: the source columns that are needed; every other column but the key's may be MISSING in the
    answer. None: all.
    where: conditions that each row has to fulfil, all of them, besides `keys`.
    order: how rows are sorted. The reader appends the table's key columns that it doesn't name,
    ascending, so that the order is total. Empty: rows come in any order.
    per_key: at most so many rows for each of `keys`, the first ones in `order`.
    after: only rows that are after these values, aligned with `order`, which has to name the whole key.
    limit: at most so many rows altogether, the first ones in `order`.
    deadline: when the answer is no longer of use, in seconds of `time.monotonic` of this process
    (whoever sends it to another one sends what is left). None: never.
    """

    table: str
    columns: Sequence[str] = ()
    keys: Sequence[tuple[Any, ...]] = ()
    fields: tuple[str, ...] | None = None
    where: tuple[ColumnCondition, ...] = ()
    order: tuple[ColumnOrder, ...] = ()
    per_key: int | None = None
    after: tuple[Any, ...] | None = None
    limit: int | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class ReaderFeatures:
    """Which parts of an Ask a Reader can answer, besides `columns`, `keys` and `limit`, which all can.

    fields: it reads only what `fields` names; without it `fields` may be given and all columns come.
    where: the operators of conditions that the source evaluates.
    order, after, per_key: the parts of these names; `after` needs `order`.
    nulls: rows without a value stand in an order wherever `ColumnOrder.nulls` says; without it null
    is the lowest value, which is first ascending and last descending, and nothing else can be asked.
    deadline: the source itself ends a statement whose deadline is over; without it whoever asks has
    to cancel.
    """

    fields: bool = False
    where: frozenset[Operator] = frozenset()
    order: bool = False
    after: bool = False
    per_key: bool = False
    nulls: bool = False
    deadline: bool = False


def refuse_unsupported(ask: Ask, features: ReaderFeatures) -> None:
    """Raise Rejected (`unsupported_query`) for an Ask with a part that the Reader can't answer.

    For readers, and for whoever asks one: a part that is ignored would make a wrong answer.
    """
    parts = [
        f"conditions with {condition.operator!r}"
        for condition in ask.where
        if condition.operator not in features.where
    ]
    if ask.order and not features.order:
        parts.append("an order")
    if (
        features.order
        and not features.nulls
        and any((part.nulls == "last") != part.descending for part in ask.order)
    ):
        parts.append("nulls last ascending or first descending")
    if ask.after is not None and not features.after:
        parts.append("rows after a cursor")
    if ask.per_key is not None and not features.per_key:
        parts.append("a limit per key")
    if parts:
        raise Rejected(
            "unsupported_query",
            f"table {ask.table!r} can't be read with {', '.join(dict.fromkeys(parts))}: its connector "
            f"can't ask for that; it can {_abilities(features)}",
        )


def _abilities(features: ReaderFeatures) -> str:
    abilities = ["look up by equal values", "limit the rows"]
    if features.where:
        abilities.append(f"compare with {' '.join(op for op in OPERATORS if op in features.where)}")
    if features.order:
        abilities.append("sort")
    if features.after:
        abilities.append("continue after a cursor")
    if features.per_key:
        abilities.append("limit the rows of each key")
    return ", ".join(abilities)


def distinct_keys(ask: Ask, most: int) -> list[tuple[Any, ...]]:
    """The distinct keys of a question, without those that contain a null, which equals nothing.

    For readers: `most` is their `max_keys`. Raises Rejected (`bad_key`) for invalid keys.
    """
    table, columns, keys = ask.table, ask.columns, ask.keys
    if len(keys) > most:
        raise Rejected("bad_key", f"{len(keys)} keys for {table!r} in one lookup: at most {most}")
    if keys and not columns:
        raise Rejected("bad_key", f"keys for {table!r} without columns")
    if any(len(key) != len(columns) for key in keys):
        raise Rejected("bad_key", f"a key for {table!r} has not {len(columns)} values")
    return list(dict.fromkeys(key for key in keys if None not in key))


def total_order(ask: Ask, key: Sequence[str]) -> tuple[ColumnOrder, ...]:
    """The order of the answer: as asked, then by the columns of the table's `key` that it doesn't
    name. Empty where nothing depends on an order.

    Raises Rejected (`bad_query`) for a part of the question that means nothing, whatever the source.
    """
    named = [part.column for part in ask.order]
    missing = [column for column in key if column not in named]
    problem = _problem(ask, named, missing)
    if problem:
        raise Rejected("bad_query", f"table {ask.table!r}: {problem}")
    if not ask.order and ask.per_key is None:
        return ()
    return (*ask.order, *(ColumnOrder(column) for column in missing))


def _problem(ask: Ask, named: Sequence[str], missing: Sequence[str]) -> str:
    """What is wrong with the question; "" for nothing."""
    for name, operator, values in ask.where:
        if operator not in OPERATORS:
            return f"column {name!r}: {operator!r} is no operator; there are {' '.join(OPERATORS)}"
        wanted = 2 if operator == "between" else 1
        if operator != "in" and len(values) != wanted:
            return f"column {name!r}: {operator!r} takes {wanted} values, not {len(values)}"
        if None in values:
            return f"column {name!r}: nothing compares with null by {operator!r}"
    if len(set(named)) < len(named):
        return f"the order names a column twice: {', '.join(named)}"
    if ask.after is not None:
        if missing:
            return f"rows after a cursor need an order that names the key: {', '.join(missing)} is missing"
        if len(ask.after) != len(named):
            return f"the cursor has {len(ask.after)} values and the order {len(named)} columns"
    if ask.per_key is not None and not ask.columns:
        return "a limit per key needs keys"
    if ask.per_key is not None and ask.per_key < 1:
        return f"a limit per key of {ask.per_key}; it must be at least 1"
    return ""


def needed_columns(
    ask: Ask, columns: Sequence[str], key: Sequence[str], order: Sequence[ColumnOrder]
) -> tuple[str, ...] | None:
    """Those of the table's `columns` that the answer has to have, in their order: `fields`, the key,
    and what the rows are looked up and sorted by. None: all of them.
    """
    if ask.fields is None:
        return None
    wanted = {*ask.fields, *key, *ask.columns, *(part.column for part in order)}
    needed = tuple(column for column in columns if column in wanted)
    return None if len(needed) == len(columns) else needed
