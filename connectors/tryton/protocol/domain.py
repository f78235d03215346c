"""Conditions as Tryton's domains. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bridge.connector import Condition
from bridge.model.errors import Rejected
from connectors.tryton.metadata.field_values import to_tryton
from connectors.tryton.metadata.model import VERSION
from connectors.tryton.metadata.model_table import ModelTable

Domain = list[Any]
NO_ROWS: Domain = [["id", "=", None]]


def domain_of(table: ModelTable, where: Condition) -> Domain:
    """Columns that equal a value, or any of several. Raises Rejected (`bad_key`)."""
    domain: Domain = []
    for name, value in where.items():
        if isinstance(value, (list, tuple, set, frozenset)):
            domain.append([name, "in", [_value(table, name, item) for item in value]])
        else:
            domain.append([name, "=", _value(table, name, value)])
    return domain


def domain_of_keys(
    table: ModelTable, columns: Sequence[str], keys: Sequence[tuple[Any, ...]]
) -> Domain:
    """Rows whose columns equal one of the keys; a null equals nothing. One condition for keys of
    one column, and one for each value of the first for keys of two. Raises Rejected (`bad_key`).
    """
    whole_keys = [key for key in dict.fromkeys(keys) if None not in key]
    if not whole_keys:
        return NO_ROWS
    *leading, last = columns
    groups: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for key in whole_keys:
        groups[key[:-1]].append(_value(table, last, key[-1]))
    clauses: list[Domain] = [
        [
            *[
                [name, "=", _value(table, name, value)]
                for name, value in zip(leading, key, strict=True)
            ],
            [last, "in", values],
        ]
        for key, values in groups.items()
    ]
    return clauses[0] if len(clauses) == 1 else ["OR", *clauses]


def _value(table: ModelTable, name: str, value: Any) -> Any:
    field = table.model.fields.get(name)
    if field is None or name == VERSION:
        reason = table.model.left_out.get(name, "there is no such field")
        raise Rejected("bad_key", f"model {table.model.name!r}, field {name!r}: {reason}")
    try:
        return to_tryton(field, value)
    except (ValueError, ArithmeticError) as error:
        raise Rejected(
            "bad_key", f"model {table.model.name!r}, field {name!r} ({field.native}): {error}"
        ) from error
