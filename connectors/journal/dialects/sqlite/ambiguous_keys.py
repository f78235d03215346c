"""Keys of SQLite columns without a type: the number 1 and the text '1' are two rows, and one key in
the log.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from bridge.connector import Column

UNTYPED = frozenset({"", "ANY"})
"""Declared types that leave numbers and texts as they are; all others make one of them the other."""


def untyped_keys(columns: Sequence[Column]) -> list[str]:
    """The key columns whose values may be ambiguous. Pure."""
    return [column.name for column in columns if column.key and column.native.upper() in UNTYPED]


def ambiguous_key(connection: Connection, table: str, columns: Sequence[Column]) -> str:
    """Why two rows of the table have one key in the log; empty when none do.

    Quick where a key of one column holds only numbers or only texts: its index shows it.
    """
    quote = connection.dialect.identifier_preparer.quote_identifier
    name = quote(table)
    for untyped in untyped_keys(columns):
        column = quote(untyped)
        # Numbers sort before texts, texts before binary values.
        both = connection.exec_driver_sql(
            f"SELECT EXISTS (SELECT 1 FROM {name} WHERE {column} < '') "
            f"AND EXISTS (SELECT 1 FROM {name} WHERE {column} >= '' AND {column} < x'')"
        ).scalar_one()
        if not both:
            continue
        number = f"+CAST(a.{column} AS NUMERIC)"
        text = connection.exec_driver_sql(
            f"SELECT a.{column} FROM {name} a WHERE a.{column} >= '' AND a.{column} < x'' "
            f"AND CAST({number} AS TEXT) = a.{column} AND EXISTS (SELECT 1 FROM {name} b "
            f"WHERE b.{column} = {number} AND typeof(b.{column}) <> 'text') LIMIT 1"
        ).scalar()
        if text is not None:
            return (
                f"key column {untyped!r} of table {table!r} has no type and holds both the number "
                f"{text} and the text '{text}': two rows there, but one key in the log, where they "
                "overwrite each other; give the column a type, or make its values of one kind "
                f"(UPDATE {name} SET {column} = CAST({column} AS TEXT))"
            )
    return ""
