"""The system's rows as raw rows: tuples of Python values, one slot a column of the Shape."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bridge.connector import Column, Shape
from bridge.model.types import parse_type
from bridge.plan.steps import MISSING, Wire

from .client import CREATED, MODIFIED, Table


def shape_of(table: Table) -> Shape:
    """The table's columns. Make it once, and again only when they change: plans are made per Shape."""
    natives = {**table.columns, CREATED: "integer", MODIFIED: "integer"}
    columns = [
        Column(name, native, parse_type(native), "python", key=name == table.key)
        for name, native in natives.items()
    ]
    return Shape(table.name, tuple(columns), Wire.PYTHON)


def raw_row(shape: Shape, row: Mapping[str, Any], *, key_only: bool = False) -> tuple[Any, ...]:
    """A row's values; `key_only`: MISSING (something else than null) in all columns but the key's."""
    return tuple(
        MISSING if key_only and not column.key else python_value(column, row.get(column.name))
        for column in shape.columns
    )


def python_value(column: Column, value: Any) -> Any:
    """JSON has no decimals: they come as text."""
    return Decimal(value) if value is not None and column.native.startswith("decimal") else value
