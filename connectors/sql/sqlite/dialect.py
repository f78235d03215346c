"""What differs on SQLite for reads and writes."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Connection

from bridge.connector import Visibility
from connectors.sql.dialect import SqlDialect


def sqlite_value(value: Any) -> Any:
    """A source value as SQLite stores it: it has no decimals, dates or booleans of its own.

    A decimal becomes a number when that is exact and its text otherwise.
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value


def file_of(connection: Connection, _visibility: Visibility | None) -> str:
    """The file that the connection has open: a backup that was restored is another one."""
    return "/".join(map(str, connection.info.get("file", ())))


def interrupt_statement(connection: sqlite3.Connection) -> None:
    """End the statement that another thread runs on this connection, if it runs one."""
    with suppress(sqlite3.ProgrammingError):  # The connection is closed, and so is its statement.
        connection.interrupt()


SQLITE = SqlDialect(
    name="sqlite",
    max_keys=1000,
    lookup="rows",
    bind=sqlite_value,
    encoded_text=True,
    server=file_of,
    revision="PRAGMA schema_version",
    null_order=True,
    interrupt=interrupt_statement,
)
