"""Differences between SQL databases for reads and writes, as data: a new dialect is an instance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.engine import Connection

from bridge.connector import Shape, Visibility
from bridge.model.encoded_text import EncodedText
from connectors.sql.running_statement import Interrupt


def driver_value(value: Any) -> Any:
    """A source value for drivers that recognise bytes by their exact type."""
    return bytes(value) if isinstance(value, EncodedText) else value


@dataclass(frozen=True, slots=True)
class Marker:
    """How a command's id travels with the changes that it causes.

    `write` is run with `:id` inside the effect's savepoint, so that a failed effect leaves no
    marker; `clear` (may be empty) is run once before the commit. `table` is the table that both need
    (empty: none), `create` the statement that creates it.
    """

    write: str
    clear: str = ""
    table: str = ""
    create: str = ""


RESTRICTED = "bridge_restricted"
"""Key in `Connection.info`: whether the login may not say all that is asked of the server."""


@dataclass(frozen=True, slots=True)
class VisibilityQuery:
    """What a statement sees: `expression` is selected by the same statement that reads the rows; `read`
    converts its value for `contains`. `restricted` is selected instead by a login that may not evaluate
    `expression` (`RESTRICTED` in `Connection.info`); empty: every login may.
    """

    expression: str
    read: Callable[[Any], Visibility]
    restricted: str = ""

    def selected_by(self, connection: Connection) -> str:
        """The expression for the login of this connection."""
        return (self.restricted if connection.info.get(RESTRICTED) else "") or self.expression


@dataclass(frozen=True, slots=True)
class Inheritance:
    """Whether other tables may inherit from a table, so that only its own rows have to be selected, and
    whether some do.
    """

    possible: bool = False
    present: bool = False


@dataclass(frozen=True, slots=True)
class SqlDialect:
    """The hooks of one database.

    lookup: `in` (one parameter a value), `rows` (`(a, b) IN (VALUES ...)`), `any` (one array
    parameter a column, cast to `array_type` of the column's native type), `or` (equalities
    joined by OR, for databases without row values).
    for_update: appended to the SELECT of the row that a guard checks.
    isolation: SQLAlchemy's isolation level of single reads (empty: the driver's default).
    begin: the statement that opens a writing transaction if the driver doesn't (SQLite).
    position: an expression that gives the commit position to wait for, evaluated before the
    commit, or after it where `position_after` is set.
    read_settings, own_settings: what a SELECT sets before what the bridge reads in a writing
    transaction, and before a command's statement (empty: nothing to set).
    casts: whether parameters are written with a cast to their type, and results may come binary.
    bind: converts a source value for the driver.
    encoded_text: whether text of a code page must be bound as text (see
    `connectors.sql.sqlite.stored_text`).
    table: reads a table's shape (name, declared key), if SQLAlchemy's inspector knows the types less
    exactly than the connector; raises ConfigurationError when there is no such table.
    inheritance: whether others inherit from the table of that name (None: the database has no such
    thing).
    server: names the server and the history of an answer on this connection with this visibility, as
    `bridge.connector.Rows.server` (None: nothing does).
    revision: a statement that returns another value after every change of the schema, for databases whose
    results don't have their columns' types (empty: they do).
    null_order: whether ORDER BY takes NULLS FIRST and NULLS LAST.
    interrupt: ends the running statement of a driver's connection (None: the driver can't).
    lateral: whether a subquery in FROM may use the rows before it (LATERAL).
    """

    name: str
    max_keys: int = 500
    lookup: Literal["in", "rows", "any", "or"] = "or"
    array_type: Callable[[str], str] = str
    limit: str = "LIMIT :bridge_limit"
    row_compare: bool = True
    for_update: str = ""
    isolation: str = ""
    marker: Marker | None = None
    seen: VisibilityQuery | None = None
    position: str = ""
    position_after: bool = False
    read_settings: str = ""
    own_settings: str = ""
    casts: bool = False
    bind: Callable[[Any], Any] = driver_value
    encoded_text: bool = False
    table: Callable[[Connection, str, Sequence[str]], Shape] | None = None
    inheritance: Callable[[Connection, str], Inheritance] | None = None
    server: Callable[[Connection, Visibility | None], str] | None = None
    revision: str = ""
    null_order: bool = False
    lateral: bool = False
    interrupt: Interrupt | None = None
