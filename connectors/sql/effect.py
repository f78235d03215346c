"""One effect inside of a legacy transaction: marker, lock, guard, statement, count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc
from sqlalchemy.engine import Connection, CursorResult

from bridge.connector import Done, Effect, Shape
from bridge.model.canonical import canonical_json
from bridge.model.encoded import EncodedText
from bridge.model.errors import BridgeError, Rejected
from connectors.sql.dialect import SqlDialect
from connectors.sql.errors import translated
from connectors.sql.query import equals, rows_where
from connectors.sql.rows import Tables, naming_of
from connectors.sql.statement import bound
from connectors.sql.texts import statement_for


class Lost(Exception):
    """The transaction itself is gone: nothing of the batch happened."""


def carry_out(
    connection: Connection, dialect: SqlDialect, tables: Tables, effect: Effect
) -> Done | Exception:
    """The effect behind a savepoint, which is rolled back when it is refused.

    Raises Lost when the connection or the whole transaction broke.
    """
    where = f"command {effect.command_id!r}"
    savepoint = connection.begin_nested()
    try:
        done = _act(connection, dialect, tables, effect)
        savepoint.commit()
        return done
    except (BridgeError, sa_exc.SQLAlchemyError, OverflowError) as error:
        try:
            if connection.invalidated:
                raise Lost(str(translated(error, where))) from error
            savepoint.rollback()
        except sa_exc.SQLAlchemyError as gone:
            raise Lost(str(translated(gone, where))) from error
        return translated(error, where)


def _act(connection: Connection, dialect: SqlDialect, tables: Tables, effect: Effect) -> Done:
    if dialect.marker is not None:
        connection.execute(sa.text(dialect.marker.write), {"id": effect.command_id})
    if effect.guard is not None:
        shape, row = current_row(connection, dialect, tables, effect, lock=True)
        effect.guard(shape, row)
    values = bound(effect.statement, effect.parameters, dialect.bind)
    if any(isinstance(value, EncodedText) for value in values.values()):
        binary = _binary_keys(tables.shape(connection, effect.table), effect.key)
        values = {
            name: bytes(value) if id(value) in binary else value for name, value in values.items()
        }
    if effect.begin is not None:
        effect.begin()
    answer = connection.execute(statement_for(effect.statement, values), values)
    count, result = _counted(answer)
    if count == 0:
        raise Rejected("not_found", f"command {effect.command_id!r} affected no row")
    if count > 1 and not effect.many:
        raise Rejected(
            "too_many_rows",
            f"command {effect.command_id!r} would have affected {count} rows: it was rolled back "
            "(declare `rows: many` where that is meant)",
        )
    shape, row = current_row(connection, dialect, tables, effect, lock=False)
    return Done(rows=max(count, 0), result=result, after=row, shape=shape)


def _binary_keys(shape: Shape, key: Mapping[str, Any]) -> set[int]:
    """Which objects of the key are for columns that hold their code page as binary values: a
    statement's parameters are the same objects.
    """
    blobs = {column.name for column in shape.columns if column.native.upper() == "BLOB"}
    return {id(value) for name, value in key.items() if name in blobs}


def _counted(answer: CursorResult[Any]) -> tuple[int, str | None]:
    """Rows affected (-1: the database doesn't tell) and what the statement returned, as JSON."""
    if not answer.returns_rows:
        return answer.rowcount, None
    names = list(answer.keys())
    rows = [dict(zip(names, row, strict=True)) for row in answer]
    return len(rows), canonical_json(rows)


def current_row(
    connection: Connection, dialect: SqlDialect, tables: Tables, effect: Effect, *, lock: bool
) -> tuple[Shape | None, Any]:
    """The row that the effect names, under its lock where the database has one; None: not there."""
    if not effect.table:
        return None, None
    names = naming_of(connection)
    shape = tables.shape(connection, effect.table)
    if not effect.key:
        return shape, None
    unseen = SqlDialect(name=dialect.name, limit=dialect.limit, bind=dialect.bind)
    query = rows_where(
        unseen,
        names,
        effect.table,
        [equals(dialect, names, effect.key)],
        suffix=dialect.for_update if lock else "",
    )
    found = connection.execute(statement_for(query.text, query.parameters), query.parameters)
    columns, rows = tuple(found.keys()), [tuple(row) for row in found]
    shape = tables.fitting(connection, effect.table, columns)
    return shape, rows[0] if rows else None
