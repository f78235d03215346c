"""One effect inside of a legacy transaction: marker, lock, guard, statement, count."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc
from sqlalchemy.engine import Connection

from bridge.connector import Done, Effect, Shape
from bridge.model.canonical import canonical_json
from bridge.model.encoded_text import EncodedText
from bridge.model.errors import BridgeError, Rejected
from connectors.sql.dialect import SqlDialect
from connectors.sql.errors import translate_error
from connectors.sql.postgres.unchecked_text import BytesAsText, has_no_encoding, row_columns
from connectors.sql.read.query import key_condition, rows_where, value_condition
from connectors.sql.read.rows import TableShapes, identifiers_of, run_query
from connectors.sql.sqlite.stored_text import statement_for
from connectors.sql.write.statement import bound
from connectors.sql.write.statement_form import (
    BINARY_OPTION,
    StatementForm,
    StatementForms,
    is_about_types,
)
from connectors.sql.write.transaction_settings import TransactionSettings


class TransactionLost(Exception):
    """The transaction itself is lost: nothing of the batch took effect."""


def execute_effect(
    connection: Connection,
    dialect: SqlDialect,
    tables: TableShapes,
    effect: Effect,
    forms: StatementForms | None = None,
    *,
    settings: TransactionSettings | None = None,
) -> Done | Exception:
    """The effect after a savepoint, which is rolled back when it is refused.

    A statement that the server refuses because of its parameters' types is sent in another form; `forms`
    remembers the accepted one; `settings` are the transaction's. Raises Lost if the connection or the
    whole transaction broke.
    """
    where = f"command {effect.command_id!r}"
    forms = forms or StatementForms(dialect)
    settings = settings or TransactionSettings(dialect)
    own = settings.own
    form = forms.of(effect)
    refusal: Exception | None = None
    described = effect.begin is not None or not effect.table
    while True:
        savepoint = connection.begin_nested()
        try:
            done = _act(connection, dialect, tables, effect, form, settings=settings)
            savepoint.commit()
        except Exception as error:  # noqa: BLE001 - this effect's, whatever it is, and no other's
            try:
                if connection.invalidated:
                    raise TransactionLost(str(translate_error(error, where))) from error
                savepoint.rollback()
                settings.own = own
            except sa_exc.SQLAlchemyError as gone:
                raise TransactionLost(str(translate_error(gone, where))) from error
            if not described and isinstance(error, sa_exc.DBAPIError):
                # Perhaps only because the table has another shape by now; nothing of it happened.
                described = True
                with suppress(BridgeError, sa_exc.SQLAlchemyError):
                    if tables.changed(connection, effect.table):
                        continue
            if refusal is None or not is_about_types(error):
                refusal = error
            following = forms.following(effect, form, error)
            if following is None:
                return translate_error(refusal, where)
            form = following
        else:
            forms.keep(effect, form)
            return done


def _act(
    connection: Connection,
    dialect: SqlDialect,
    tables: TableShapes,
    effect: Effect,
    form: StatementForm,
    *,
    settings: TransactionSettings,
) -> Done:
    if dialect.marker is not None and not dialect.own_settings:
        connection.execute(sa.text(dialect.marker.write), {"id": effect.command_id})
    inherited = bool(effect.table and effect.key) and tables.inherited(connection, effect.table)
    before: Any = None
    if effect.guard is not None or inherited:
        shape, before = current_row(
            connection, dialect, tables, effect, lock=True, settings=settings
        )
        if effect.guard is not None:
            effect.guard(shape, before)
    count, result = _run(connection, dialect, tables, effect, form, settings=settings)
    if count == 0:
        raise Rejected("not_found", f"command {effect.command_id!r} affected no row")
    if count > 1 and not effect.many:
        raise Rejected(
            "too_many_rows",
            f"command {effect.command_id!r} would have affected {count} rows: it was rolled back "
            "(declare `rows: many` if that is intended)",
        )
    shape, row = current_row(connection, dialect, tables, effect, lock=False, settings=settings)
    if inherited and before is None and row is None:
        raise Rejected(
            "not_found",
            f"command {effect.command_id!r} affected no row of {effect.table!r} itself, but of a "
            "table that inherits from it: it was rolled back (write ONLY before the table's name)",
        )
    return Done(rows=max(count, 0), result=result, after=row, shape=shape)


def _binary_keys(shape: Shape, key: Mapping[str, Any]) -> set[int]:
    """Which objects of the key are for columns that hold their code page as binary values: a
    statement's parameters are the same objects.
    """
    blobs = {column.name for column in shape.columns if column.native.upper() == "BLOB"}
    return {id(value) for name, value in key.items() if name in blobs}


def _text_columns(shape: Shape, effect: Effect) -> dict[str, str]:
    """The parameters whose bytes are text of a key column of PostgreSQL, and that column's type."""
    natives = {
        id(effect.key[column.name]): column.native
        for column in shape.columns
        if column.name in effect.key and column.native != "bytea"
    }
    return {
        name: natives[id(value)]
        for name, value in effect.parameters.items()
        if isinstance(value, EncodedText) and id(value) in natives
    }


def _run(
    connection: Connection,
    dialect: SqlDialect,
    tables: TableShapes,
    effect: Effect,
    form: StatementForm,
    *,
    settings: TransactionSettings,
) -> tuple[int, str | None]:
    """Run the statement under the login's own settings. Returns the rows affected (-1: the
    database doesn't say) and what the statement returned, as JSON.
    """
    values = bound(effect.statement, effect.parameters, dialect.bind)
    clause = form.clause(effect.statement)
    if dialect.casts and any(isinstance(value, EncodedText) for value in effect.key.values()):
        texts = _text_columns(tables.shape(connection, effect.table), effect)
        clause = clause.bindparams(
            *(
                sa.bindparam(name, type_=BytesAsText(texts[name]))
                for name in values
                if name in texts
            )
        )
    elif any(isinstance(value, EncodedText) for value in values.values()):
        binary = _binary_keys(tables.shape(connection, effect.table), effect.key)
        values = {
            name: bytes(value) if id(value) in binary else value for name, value in values.items()
        }
        clause = statement_for(effect.statement, values)
    if dialect.own_settings:
        settings.for_statement(connection, {"id": effect.command_id})
    if effect.begin is not None:
        effect.begin()
    answer = connection.execute(clause, values, execution_options={BINARY_OPTION: form.binary})
    count = answer.rowcount
    names = list(answer.keys()) if answer.returns_rows else None
    rows = [tuple(row) for row in answer] if names is not None else []
    if names is None:
        return count, None
    if form.binary:
        from connectors.sql.postgres.sent_values import SentValue, with_texts

        if any(isinstance(value, SentValue) for row in rows for value in row):
            settings.for_reads(connection)
            rows = with_texts(connection, rows)
    return len(rows), canonical_json([dict(zip(names, row, strict=True)) for row in rows])


def current_row(
    connection: Connection,
    dialect: SqlDialect,
    tables: TableShapes,
    effect: Effect,
    *,
    lock: bool,
    settings: TransactionSettings | None = None,
) -> tuple[Shape | None, Any]:
    """The row that the effect names, locked if the database supports it; None: it doesn't exist."""
    if not effect.table:
        return None, None
    names = identifiers_of(connection)
    fresh = has_no_encoding(connection)
    shape = (tables.read_again if fresh else tables.shape)(connection, effect.table)
    if not effect.key:
        return shape, None
    if settings is not None:
        settings.for_row(connection, shape)
    condition = value_condition(dialect, names, effect.key)
    if dialect.lookup == "any":
        # As the Reader does: `=` alone doesn't support every pair of a column's type and a value's.
        natives = {column.name: column.native for column in shape.columns}
        columns, values = list(effect.key), tuple(effect.key.values())
        condition = key_condition(
            dialect, names, columns, [values], [natives.get(name, "") for name in columns]
        )
    suffix = dialect.for_update if lock else ""
    unseen = replace(dialect, seen=None)
    query = rows_where(
        unseen,
        names,
        effect.table,
        [condition],
        suffix=suffix,
        only=tables.only(connection, effect.table),
        select=row_columns(connection, names, shape),
    )
    result = run_query(connection, unseen, query)
    new_shape = tables.fitting(connection, effect.table, result)
    if new_shape is not shape and settings is not None and settings.for_row(connection, new_shape):
        # A new column's text depends on the settings, and those were the login's.
        result = run_query(connection, unseen, query)
    return new_shape, result.rows[0] if result.rows else None
