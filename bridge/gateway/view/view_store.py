"""Writes rows and offsets into the file of a view, each transaction as a whole.

Used by one thread at a time, the owner's. Blocks; the longest call is as long as its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from bridge.gateway.view.row_parts import RowWrite, position_text
from bridge.gateway.view.table_forms import TableForm
from bridge.gateway.view.view_file import (
    begin_updates,
    check_row,
    read_schemas,
    schema_checksum,
    write_state,
)
from bridge.gateway.view.view_state import ViewState

ROWS_PER_STATEMENT: Final = 100
"""Rows of one statement: other threads run while SQLite works on one, and each end of one waits for
them.
"""

Writes = Mapping[str, Mapping[bytes, RowWrite | None]]
"""By bare entity name and key: the row, or None for one that was deleted."""


class HeldRow(NamedTuple):
    """position: of its last change that was sent as a whole, as text. row: see `row_parts`."""

    position: str
    row: bytes


class ViewStore:
    """The writer's side of an opened file.

    connection: of `open_view_file`.
    """

    def __init__(self, connection: sqlite3.Connection, forms: Mapping[str, TableForm]) -> None:
        self._connection = connection
        self._forms = forms
        self._schemas: set[int] = set()

    def schemas(self) -> dict[int, str]:
        """As `read_schemas`."""
        schemas = read_schemas(self._connection)
        self._schemas.update(schemas)
        return schemas

    def load(self, writes: Writes, schemas: Mapping[int, str]) -> None:
        """Add rows while the file is built. Raises sqlite3.Error: the file is of no use then."""
        with self._transaction():
            self._write(writes, schemas)
        self._schemas.update(schemas)

    def finish(self, state: ViewState) -> None:
        """The rows are in: make the indexes, and let readers in. Raises sqlite3.Error."""
        with self._transaction():
            for form in self._forms.values():
                for statement in form.index_sql():
                    self._connection.execute(statement)
            write_state(self._connection, state)
        begin_updates(self._connection)

    def publish(self, writes: Writes, schemas: Mapping[int, str], state: ViewState) -> None:
        """Change rows, offsets and state in one transaction. Raises sqlite3.Error: nothing of it
        is in the file.
        """
        with self._transaction():
            self._write(writes, schemas)
            write_state(self._connection, state)
        self._schemas.update(schemas)

    def held(self, entity: str, key: bytes) -> HeldRow | None:
        """The row of a key. Raises DamagedFile, sqlite3.Error."""
        form = self._forms[entity]
        row = self._connection.execute(
            f"SELECT {', '.join(form.columns)} FROM {form.table} WHERE key = ?",  # noqa: S608
            (key,),
        ).fetchone()
        if row is None:
            return None
        check_row(row)
        return HeldRow(position_text(row[1]), row[2])

    def _write(self, writes: Writes, schemas: Mapping[int, str]) -> None:
        for number in schemas.keys() - self._schemas:
            text = schemas[number]
            self._connection.execute(
                "INSERT OR REPLACE INTO schema VALUES (?, ?, ?)",
                (number, text, schema_checksum(number, text)),
            )
        for entity, changes in writes.items():
            form = self._forms[entity]
            row_slots = f"({', '.join('?' * len(form.columns))})"
            insert = f"INSERT OR REPLACE INTO {form.table} VALUES "  # noqa: S608
            rows = [row for row in changes.values() if row is not None]
            for chunk in _chunks(rows):
                values = [*chain.from_iterable(chunk)]
                self._connection.execute(insert + ", ".join([row_slots] * len(chunk)), values)
            deleted = [(key,) for key, row in changes.items() if row is None]
            if deleted:
                self._connection.executemany(
                    f"DELETE FROM {form.table} WHERE key = ?",  # noqa: S608
                    deleted,
                )

    def _transaction(self) -> _WriteTransaction:
        return _WriteTransaction(self._connection)


class _WriteTransaction:
    """Begins; commits at the end, or rolls back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, error_type: object, *_: object) -> None:
        if error_type is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        # SQLite has done it by itself after chunk errors, such as a full disk.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _chunks(rows: Sequence[RowWrite]) -> Iterator[list[RowWrite]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, ROWS_PER_STATEMENT)):
        yield chunk
