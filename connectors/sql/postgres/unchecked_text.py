"""Text of a PostgreSQL database that checks no encoding (SQL_ASCII).

The server ends a whole statement for one byte that the session's encoding doesn't have, so text
goes both ways as binary values there; a `code_page` decodes it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.connector import Shape
from connectors.sql.postgres.session_settings import NO_ENCODING
from connectors.sql.read.query import ROW_COLUMNS, Identifiers


def has_no_encoding(connection: Connection) -> bool:
    """Whether this is such a database."""
    if connection.dialect.name != "postgresql":
        return False
    driver: Any = connection.connection.driver_connection
    return bool(driver.info.parameter_status("server_encoding") == NO_ENCODING)


def row_columns(
    connection: Connection,
    naming: Identifiers,
    shape: Shape,
    only: Collection[str] | None = None,
) -> str:
    """What to select of a row: all columns, or `only` those, in their order; those that are read as
    text as its bytes.
    """
    wanted = [column for column in shape.columns if only is None or column.name in only]
    if not has_no_encoding(connection):
        names = [f"r.{naming.column(column.name)}" for column in wanted]
        return ROW_COLUMNS if only is None else ", ".join(names)
    selected = []
    for column in wanted:
        name = naming.column(column.name)
        value = f"r.{name}"
        if column.wire.startswith("text:"):
            # By the type's own output: a cast would take the blanks of a char(n) away.
            text = f"convert_to(format('%s', {value}), '{NO_ENCODING}')"
            value = f"CASE num_nulls({value}) WHEN 0 THEN {text} END AS {name}"
        selected.append(value)
    return ", ".join(selected)


class BytesAsText(sa.types.UserDefinedType[bytes]):
    """A parameter whose bytes are text of a column of this type."""

    cache_ok = True

    def __init__(self, native: str) -> None:
        self.native = native

    def get_col_spec(self, **_: Any) -> str:
        """The column's type."""
        return self.native

    def bind_expression(self, bindvalue: sa.BindParameter[bytes]) -> sa.ColumnElement[Any]:
        """The text, as the column compares it."""
        text = sa.func.convert_from(bindvalue, sa.literal_column(f"'{NO_ENCODING}'"))
        return sa.cast(text, BytesAsText(self.native)) if self.native else text
