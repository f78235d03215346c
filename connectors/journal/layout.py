"""Layouts: which columns the rows of a journal hold, so that old rows stay readable.

Each time that a table's triggers are made with other columns they get a new layout; a journal
row names the layout that it was written with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.connector import Column, Shape
from bridge.model.types import parse_type
from bridge.plan.steps import MISSING, Wire
from connectors.sql.schema.tables import TableCatalog


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table as its triggers write them, under a number."""

    id: int
    table: str
    columns: tuple[Column, ...]

    def text(self) -> str:
        """The columns as they are stored in the journal's layout table."""
        return json.dumps(
            [
                [column.name, column.native, str(column.type), column.nullable, column.key]
                for column in self.columns
            ],
            separators=(",", ":"),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The column names."""
        return tuple(column.name for column in self.columns)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify rows."""
        return tuple(column.name for column in self.columns if column.key)


def layout_from(number: int, table: str, text: str) -> Layout:
    """The layout that `Layout.text` wrote."""
    return Layout(
        number,
        table,
        tuple(
            Column(name, native, parse_type(field_type), "python", nullable, key)
            for name, native, field_type, nullable, key in json.loads(text)
        ),
    )


def layout_for(
    table: str, catalog: TableCatalog, key: Sequence[str], layouts: Sequence[Layout], used: int = 0
) -> Layout:
    """The layout that fits the table as it is now, or a new one with the next number.

    `used`: the highest number that rows of the journal have, whether or not it is still stored.
    """
    columns = tuple(replace(column, key=column.name in key) for column in catalog.columns)
    for layout in reversed(layouts):
        if layout.table == table and layout.columns == columns:
            return layout
    return Layout(max([used, *(layout.id for layout in layouts)]) + 1, table, columns)


@dataclass(frozen=True, slots=True)
class Frame:
    """How rows of one layout become raw rows of a Shape.

    Columns that the table has and the layout has not (the triggers are older than the column) are
    MISSING: nobody wrote their values down, and null would be a guess.
    """

    shape: Shape
    width: int
    missing: tuple[Any, ...]
    key: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether rows have every column."""
        return not self.missing

    def row(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A raw row."""
        return (*values, *self.missing)

    def key_only(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A raw row in which only the key is set."""
        kept = [value if at in self.key else MISSING for at, value in enumerate(values)]
        return (*kept, *self.missing)


def frame_for(layout: Layout, now: TableCatalog | None) -> Frame:
    """The frame of a layout, given the table's columns of now (None: the table is gone)."""
    have = set(layout.names)
    extra = tuple(column for column in now.columns if column.name not in have) if now else ()
    shape = Shape(
        layout.table,
        (*layout.columns, *extra),
        Wire.PYTHON,
        "none" if extra else "full",
    )
    key = tuple(at for at, column in enumerate(layout.columns) if column.key)
    return Frame(shape, len(layout.columns), (MISSING,) * len(extra), key)
