"""Looks rows up in the file of a view. Any thread may; each has a connection of its own.

Every statement sees one commit as a whole, and every row is checked before it is returned.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bridge.gateway.view.row_parts import UNKNOWN
from bridge.gateway.view.table_forms import TableForm
from bridge.gateway.view.view_file import check_row

KEYS_PER_STATEMENT: Final = 400
READ_CACHE_KIB: Final = 4_000


class ViewReads:
    """Reads of a file that is complete. Raises DamagedFile or sqlite3.Error where it can't be trusted.

    What is returned of a row is header and Avro bytes; `UNKNOWN` for a key of which the legacy system
    has to be asked.
    """

    def __init__(self, path: Path, forms: Mapping[str, TableForm]) -> None:
        self._address = f"file:{quote(str(path.absolute()))}?mode=ro"
        self._threads = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._closed = False
        self._by_key = {name: _select(form, "WHERE key = ?") for name, form in forms.items()}
        self._forms = forms

    def get(self, entity: str, key: bytes) -> bytes | None:
        """The row of a key; None: there is none."""
        row = self._connection().execute(self._by_key[entity], (key,)).fetchone()
        if row is None:
            return None
        check_row(row)
        data: bytes = row[2]
        return data

    def get_many(self, entity: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows of keys, aligned."""
        form, rows = self._forms[entity], {}
        for start in range(0, len(keys), KEYS_PER_STATEMENT):
            chunk = keys[start : start + KEYS_PER_STATEMENT]
            sql = _select(form, f"WHERE key IN ({', '.join('?' * len(chunk))})")
            for row in self._connection().execute(sql, chunk):
                check_row(row)
                rows[row[0]] = row[2]
        return [rows.get(key) for key in keys]

    def equal(
        self, entity: str, fields: Sequence[str], values: Sequence[bytes], limit: int
    ) -> list[tuple[bytes, bytes]] | None:
        """Keys and rows, up to `limit` (-1: all), of those whose indexed fields have these bytes, in the order of their keys' bytes;
        None while a row of the entity isn't known, which may be one of them.
        """
        form = self._forms[entity]
        wanted = " AND ".join(f'"f_{name}" = ?' for name in fields)
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            unknown = connection.execute(
                f"SELECT 1 FROM {form.table} WHERE row = x'' LIMIT 1"  # noqa: S608
            ).fetchone()
            rows = connection.execute(
                f"{_select(form, f'WHERE {wanted}')} ORDER BY key LIMIT ?", (*values, limit)
            ).fetchall()
        finally:
            connection.execute("COMMIT")
        if unknown is not None:
            return None
        for row in rows:
            check_row(row)
        return [(row[0], row[2]) for row in rows]

    def count(self, entity: str) -> tuple[int, int]:
        """How many rows, and how many of them aren't known. Reads the whole table."""
        table = self._forms[entity].table
        connection = self._connection()
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        (unknown,) = connection.execute(
            f"SELECT count(*) FROM {table} WHERE row = x''"  # noqa: S608
        ).fetchone()
        return rows, unknown

    def close(self) -> None:
        """Close the connections of all threads, once none of them reads any more."""
        self._closed = True
        while self._opened:
            self._opened.pop().close()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._address, uri=True, isolation_level=None, check_same_thread=False
            )
            connection.execute(f"PRAGMA cache_size = {-READ_CACHE_KIB}")
            self._threads.connection = connection
            self._opened.append(connection)
        return connection


def _select(form: TableForm, rest: str) -> str:
    return f"SELECT {', '.join(form.columns)} FROM {form.table} {rest}"  # noqa: S608


__all__ = ["UNKNOWN", "ViewReads"]
