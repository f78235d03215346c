"""The settings of a writing transaction: those of reads, or the login's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.connector import Shape
from connectors.sql.dialect import SqlDialect

#: Types whose text no setting changes; their arrays and ranges are left out for brevity.
_FIXED = frozenset(
    f"text:{wire}"
    for wire in (
        "text", "varchar", "bpchar", "name", "char", "citext", "enum", "xml", "json", "jsonb",
        "inet", "cidr", "macaddr", "macaddr8", "bit", "varbit", "time", "pg_lsn", "tid",
    )
)  # fmt: skip
_FLOATS = {"float", "double"}


class TransactionSettings:
    """Switches between them, with one statement per switch. For one transaction."""

    def __init__(self, dialect: SqlDialect) -> None:
        self._dialect = dialect
        #: Whether they are the login's own. A rollback to a savepoint has to restore this, too.
        self.own = False

    def for_statement(self, connection: Connection, marker: Mapping[str, Any]) -> None:
        """Before a command's statement: its marker, and the login's own settings."""
        selected = [] if self.own else [self._dialect.own_settings]
        if self._dialect.marker is not None:
            selected.insert(0, self._dialect.marker.write.removeprefix("SELECT "))
        self.own = True
        if selected:
            connection.execute(sa.text(f"SELECT {', '.join(selected)}"), marker)

    def for_commit(self, connection: Connection) -> None:
        """Before the commit: work that is deferred to it is part of the effects."""
        if self._dialect.own_settings and not self.own:
            connection.exec_driver_sql(f"SELECT {self._dialect.own_settings}")
            self.own = True

    def for_row(self, connection: Connection, shape: Shape) -> bool:
        """Before a read of a row of this shape; returns whether its text would have been different."""
        fixed = all(_is_fixed(column.wire, column.type.name) for column in shape.columns)
        if not self.own or fixed:
            return False
        self.for_reads(connection)
        return True

    def for_reads(self, connection: Connection) -> None:
        """Before anything that the bridge itself reads."""
        if self.own:
            connection.exec_driver_sql(f"SELECT {self._dialect.read_settings}")
            self.own = False


def _is_fixed(wire: str, kind: str) -> bool:
    return wire in _FIXED or (wire == "python" and kind not in _FLOATS)
