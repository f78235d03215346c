"""What this connector adds to the SQL Reader and Writer: which transactions a statement has seen,
and the types of the catalogue, so that rows that are read are described as changes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy.engine import Connection

from bridge.connector import Shape, System, Visibility
from bridge.model.errors import ConfigurationError
from bridge.plan.steps import Wire
from connectors.postgres.capture.relation_shapes import absent
from connectors.postgres.catalog.publication import published_of, published_sql, sent
from connectors.postgres.catalog.tables import (
    CANDIDATES,
    COLUMNS,
    TYPES,
    CatalogColumn,
    CatalogTable,
    attributes_of,
    choose,
    column_of,
    primary_key_of,
    tables_of,
    types_of,
    wanted,
)
from connectors.postgres.catalog.types import TypeRow, missing
from connectors.postgres.options import options_of
from connectors.postgres.protocol.pg_snapshot import PgSnapshot, parse_seen
from connectors.sql.dialect import Inheritance, SqlDialect, VisibilityQuery
from connectors.sql.postgres.dialect import POSTGRESQL
from connectors.sql.postgres.seen_query import SEEN, SEEN_RESTRICTED

#: What psycopg's own objects say in full; of the rest its text is taken, and parsed by the plan.
_OBJECTS = frozenset(
    {"bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "uuid", "bytea"}
)


def read_wire(wire: str) -> str:
    """The wire code of a column that psycopg read."""
    return "python" if wire in _OBJECTS else f"text:{wire}"


def read_table(
    connection: Connection, name: str, declared: Sequence[str], publication: str = ""
) -> Shape:
    """The shape of rows as psycopg gives them; which columns the stream has, by `publication`."""
    candidates = connection.exec_driver_sql(CANDIDATES, (wanted([name]),))
    table, near = choose(name, tables_of(candidates.all()))
    if table is None:
        raise ConfigurationError(absent(name, near))
    columns = connection.exec_driver_sql(COLUMNS, ([table.oid],)).all()
    attributes = attributes_of(columns).get(table.oid, ())
    types: dict[int, TypeRow] = {}
    while unknown := missing(types, {attribute.oid for attribute in attributes}):
        loaded = types_of(connection.exec_driver_sql(TYPES, (sorted(unknown),)).all())
        if not loaded:
            break
        types |= loaded
    primary = primary_key_of(attributes)
    captured = {each.name for each in _captured(connection, table.with_(attributes), publication)}
    described = [
        replace(column, wire=read_wire(column.wire), captured=column.name in captured)
        for attribute in attributes
        for column in [column_of(attribute, types, primary or declared)]
    ]
    return Shape(name, tuple(described), Wire.PYTHON)


def _captured(
    connection: Connection, table: CatalogTable, publication: str
) -> tuple[CatalogColumn, ...]:
    version = int((connection.dialect.server_version_info or (0,))[0]) * 10000
    rows = connection.exec_driver_sql(published_sql(version), (publication,)).all()
    return sent(table, published_of(rows), version).attributes


def read_inheritance(connection: Connection, name: str) -> Inheritance:
    """Of a partitioned table its partitions inherit, whose rows are its own."""
    candidates = connection.exec_driver_sql(CANDIDATES, (wanted([name]),))
    table, _ = choose(name, tables_of(candidates.all()))
    if table is None:
        return Inheritance()
    return Inheritance(table.kind in {"r", "f"}, table.inherited)


def server_of(_connection: Connection, visibility: Visibility | None) -> str:
    """The system identifier and the timeline that the statement itself has told."""
    return str(visibility.server) if isinstance(visibility, PgSnapshot) else ""


POSTGRES = replace(
    POSTGRESQL,
    seen=VisibilityQuery(SEEN, parse_seen, restricted=SEEN_RESTRICTED),
    server=server_of,
    table=read_table,
    inheritance=read_inheritance,
)


def dialect_for(system: System) -> SqlDialect:
    """The dialect of one system, which knows what its publication sends."""
    publication = options_of(system).publication
    return replace(POSTGRES, table=partial(read_table, publication=publication))
