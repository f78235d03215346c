"""Ranges, orders, pages and projections of fields, as the source's columns have them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bridge.connector.ask import OPERATORS, Ask, ColumnCondition, ColumnOrder, Operator
from bridge.model.errors import Rejected
from bridge.model.row_selection import RowSelection
from bridge.model.suggestions import did_you_mean
from bridge.ports.entity_mapping import EntityMapping

_OPERATORS: Final[Mapping[str, Operator]] = {operator: operator for operator in OPERATORS}


class SourceSelection(NamedTuple):
    """The parts of an Ask beside its keys, which queries that share one have in common.

    where, order, after: as in `bridge.connector.Ask`, in the source's own values.
    columns: as `Ask.fields`.
    """

    where: tuple[ColumnCondition, ...] = ()
    order: tuple[ColumnOrder, ...] = ()
    after: tuple[Any, ...] | None = None
    columns: tuple[str, ...] | None = None

    def added_to(self, ask: Ask) -> Ask:
        """The question with these parts."""
        return ask._replace(
            where=self.where, order=self.order, after=self.after, fields=self.columns
        )


WHOLE_ROWS: Final = SourceSelection()


def equal_part(where: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of equality: those that are no mapping of operators."""
    return {name: value for name, value in where.items() if not isinstance(value, Mapping)}


def source_selection(
    table: EntityMapping, where: Mapping[str, Any], selection: RowSelection
) -> SourceSelection:
    """The conditions of `where` that are ranges (`{"qty": {">=": 5, "<": 10}}`), and `selection`.

    Raises Rejected: `bad_query` for what means nothing, `bad_key` for a field that isn't there or
    whose values or order don't lead back to a column's.
    """
    conditions = [
        _condition(table, name, operator, value)
        for name, operators in where.items()
        if isinstance(operators, Mapping)
        for operator, value in _operators(table, name, operators)
    ]
    order = _order(table, selection.order) if selection.order else ()
    after = None
    if selection.continue_after is not None:
        after = _cursor(table, selection)
        order = order or _order(table, ())
    columns = table.columns(selection.fields) if selection.fields is not None else None
    return SourceSelection(tuple(conditions), order, after, columns)


def _operators(
    table: EntityMapping, name: str, operators: Mapping[str, Any]
) -> list[tuple[Operator, Any]]:
    where = f"{table.entity.qualified}, field {name!r}"
    if not operators:
        raise Rejected("bad_query", f"{where}: a condition without an operator")
    unknown = [operator for operator in operators if operator not in _OPERATORS]
    if unknown:
        hint = did_you_mean(str(unknown[0]), OPERATORS)
        raise Rejected(
            "bad_query",
            f"{where}: {unknown[0]!r} is no operator{hint}; there are {' '.join(OPERATORS)}",
        )
    return [(_OPERATORS[operator], value) for operator, value in operators.items()]


def _condition(table: EntityMapping, name: str, operator: Operator, value: Any) -> ColumnCondition:
    where = f"{table.entity.qualified}, field {name!r}"
    several = isinstance(value, (list, tuple, set, frozenset))
    if operator in {"in", "between"} and not several:
        raise Rejected("bad_query", f"{where}: {operator!r} takes a list of values")
    if operator not in {"in", "between"} and several:
        raise Rejected("bad_query", f"{where}: {operator!r} takes one value, not a list")
    values = list(value) if several else [value]
    if operator == "between" and len(values) != 2:
        raise Rejected("bad_query", f"{where}: 'between' takes two values, not {len(values)}")
    if None in values:
        raise Rejected("bad_query", f"{where}: nothing compares with null by {operator!r}")
    (column,) = table.columns((name,)) if operator == "in" else (table.ordered_column(name),)
    source_values = [table.outward((name,), (each,))[0] for each in values]
    return ColumnCondition(column, operator, tuple(source_values))


def _order(table: EntityMapping, order: tuple[str, ...]) -> tuple[ColumnOrder, ...]:
    """The order by columns, which ends with the key."""
    names = [name.removeprefix("-") for name in order]
    if len(set(names)) < len(names):
        raise Rejected(
            "bad_query",
            f"{table.entity.qualified}: the order names a field twice: {', '.join(order)}",
        )
    columns = [table.ordered_column(name) for name in names]
    parts = [
        ColumnOrder(column, descending, "last" if descending else "first")
        for column, descending in zip(
            columns, [each.startswith("-") for each in order], strict=True
        )
    ]
    others = tuple(name for name in table.entity.key if name not in names)
    return (*parts, *(ColumnOrder(column, nulls="first") for column in table.columns(others)))


def _cursor(table: EntityMapping, selection: RowSelection) -> tuple[Any, ...]:
    """The values of the order's columns in the row after which the page begins."""
    names = [name.removeprefix("-") for name in selection.order]
    fields = (*names, *(name for name in table.entity.key if name not in names))
    row = selection.continue_after
    try:
        values = [row[name] for name in fields]
    except (KeyError, TypeError, IndexError):
        raise Rejected(
            "bad_query",
            f"{table.entity.qualified}: `continue_after` is the last row of the page before, or a "
            f"mapping of the fields {', '.join(fields)}",
        ) from None
    return table.outward(fields, values)
