"""Shapes from the catalogue: a table's columns, their sensible field types and its key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.types import TypeEngine

from bridge.connector import Column, Shape, TableUse
from bridge.model.errors import ConfigurationError
from bridge.model.types import MAX_PRECISION, FieldType
from bridge.plan.steps import Wire

STRING = FieldType("string")
_SIMPLE: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Date, "date"),
    (sa.Time, "time"),
    (sa.LargeBinary, "bytes"),
    (sa.Uuid, "uuid"),
    (sa.JSON, "json"),
)


def field_type(sql_type: TypeEngine[Any], dialect: str) -> FieldType:
    """The sensible field type of a SQLAlchemy type; `string` if there is no better one. SQLite stores
    dates, times and booleans in any form (and 64-bit floats for any declaration), so only what its column
    affinities promise is used there.
    """
    if dialect == "sqlite":
        return _sqlite_type(sql_type)
    if isinstance(sql_type, sa.DateTime):
        return FieldType("timestamp" if sql_type.timezone else "local_timestamp")
    if isinstance(sql_type, sa.ARRAY):
        return FieldType("array", item=field_type(sql_type.item_type, dialect))
    if isinstance(sql_type, (sa.REAL, sa.Float)):
        single = isinstance(sql_type, sa.REAL) or (sql_type.precision or 53) <= 24
        return FieldType("float" if single and not isinstance(sql_type, sa.Double) else "double")
    if isinstance(sql_type, sa.Numeric):
        return _decimal(sql_type)
    for sql_class, name in _SIMPLE:
        if isinstance(sql_type, sql_class):
            return FieldType(name)
    return STRING


def _decimal(sql_type: sa.Numeric[Any]) -> FieldType:
    precision, scale = sql_type.precision, sql_type.scale or 0
    if precision is None or not 0 <= scale <= precision <= MAX_PRECISION:
        return STRING
    return FieldType("decimal", precision, scale)


def _sqlite_type(sql_type: TypeEngine[Any]) -> FieldType:
    if isinstance(sql_type, sa.Float):
        return FieldType("double")
    if isinstance(sql_type, sa.Numeric):
        return _decimal(sql_type)
    if isinstance(sql_type, sa.Boolean):
        return FieldType("boolean")
    if isinstance(sql_type, sa.Integer):
        return FieldType("integer")
    if isinstance(sql_type, sa.LargeBinary):
        return FieldType("bytes")
    return STRING


@dataclass(frozen=True, slots=True)
class TableCatalog:
    """The catalogue's description of one table. `uniques` are sets of columns that are unique, the
    primary key among them.
    """

    table: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    uniques: tuple[frozenset[str], ...]

    def shape(self, before: Literal["full", "none"] = "none") -> Shape:
        """The shape of rows that a driver returns."""
        return Shape(self.table, self.columns, Wire.PYTHON, before)

    def identity(self, declared: Sequence[str]) -> tuple[str, ...]:
        """The columns that identify rows: the primary key, else the declared key."""
        return self.primary_key or tuple(declared)


def split_table(name: str) -> tuple[str | None, str]:
    """`schema.table` or `table` in its parts."""
    schema, _, table = name.rpartition(".")
    return schema or None, table


def _native(sql_type: TypeEngine[Any], connection: Connection) -> str:
    if isinstance(sql_type, sa.types.NullType):
        return ""
    return sql_type.compile(dialect=connection.dialect)


def read_table(connection: Connection, name: str, declared: Sequence[str] = ()) -> TableCatalog:
    """What the catalogue says of one table; raises ConfigurationError if it doesn't exist."""
    inspector = sa.inspect(connection)
    schema, table = split_table(name)
    if not (inspector.has_table(table, schema=schema)):
        raise ConfigurationError(_missing(name, inspector.get_table_names(schema=schema)))
    primary = tuple(inspector.get_pk_constraint(table, schema=schema)["constrained_columns"])
    key = primary or tuple(declared)
    dialect = connection.dialect.name
    columns = tuple(
        Column(
            name=item["name"],
            native=_native(item["type"], connection),
            type=field_type(item["type"], dialect),
            wire="python",
            nullable=item["nullable"],
            key=item["name"] in key,
        )
        for item in inspector.get_columns(table, schema=schema)
    )
    uniques = [frozenset(primary)] if primary else []
    if dialect == "sqlite":
        uniques += _sqlite_uniques(connection, table)
    else:
        uniques += _uniques(inspector, table, schema)
    return TableCatalog(name, columns, primary, tuple(dict.fromkeys(uniques)))


def _uniques(inspector: Inspector, table: str, schema: str | None) -> list[frozenset[str]]:
    uniques = [
        frozenset(constraint["column_names"])
        for constraint in inspector.get_unique_constraints(table, schema=schema)
    ]
    for index in inspector.get_indexes(table, schema=schema):
        named = [column for column in index["column_names"] if column is not None]
        if index["unique"] and len(named) == len(index["column_names"]):
            uniques.append(frozenset(named))
    return uniques


def _sqlite_uniques(connection: Connection, table: str) -> list[frozenset[str]]:
    """SQLAlchemy reads unique constraints out of the statement's text on SQLite and misses those
    of columns without a type; the index list has them all. Indexes over expressions are left out.
    """
    rows = connection.exec_driver_sql(
        "SELECT l.name, i.cid, i.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i "
        'WHERE l."unique"',
        (table,),
    ).all()
    columns: dict[str, list[str]] = {}
    over_expressions = {index for index, column_id, _ in rows if column_id < 0}
    for index, _, column in rows:
        columns.setdefault(index, []).append(column)
    return [frozenset(named) for index, named in columns.items() if index not in over_expressions]


def _missing(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(split_table(name)[1], list(names), n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(map(repr, close))}?" if close else "; correct `from`"
    return f"table {name!r} is not in the database{hint}"


def read_tables(connection: Connection, tables: Sequence[TableUse]) -> dict[str, TableCatalog]:
    """The catalogue's description of all tables; every missing one is named in one error."""
    catalogs: dict[str, TableCatalog] = {}
    problems: list[str] = []
    for use in tables:
        try:
            catalogs[use.table] = read_table(connection, use.table, use.key)
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("; ".join(problems))
    return catalogs


def describe(
    engine: Engine, tables: Sequence[TableUse], before: Literal["full", "none"] = "none"
) -> Mapping[str, Shape]:
    """Python-wire shapes of the tables, as `Connector.describe` promises them."""
    with engine.connect() as connection:
        catalogs = read_tables(connection, tables)
    return {name: catalog.shape(before) for name, catalog in catalogs.items()}
