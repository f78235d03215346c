"""The dialect of a database, by SQLAlchemy's name."""

from __future__ import annotations

from connectors.sql.dialect import SqlDialect
from connectors.sql.postgres.dialect import POSTGRESQL
from connectors.sql.sqlite.dialect import SQLITE

MYSQL = SqlDialect(name="mysql", max_keys=1000, lookup="rows", for_update="FOR UPDATE")

_DIALECTS = {
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "mysql": MYSQL,
    "mariadb": MYSQL,
    "oracle": SqlDialect(
        name="oracle",
        null_order=True,
        limit="FETCH FIRST :bridge_limit ROWS ONLY",
        row_compare=False,
        for_update="FOR UPDATE",
    ),
    "mssql": SqlDialect(
        name="mssql",
        max_keys=500,
        limit="OFFSET 0 ROWS FETCH NEXT :bridge_limit ROWS ONLY",
        row_compare=False,
    ),
}


def dialect_of(name: str) -> SqlDialect:
    """The hooks of SQLAlchemy's dialect `name`; a cautious default for unknown ones."""
    return _DIALECTS.get(name) or SqlDialect(name=name, row_compare=False)
