"""The file of a view: opened if everything in it can be trusted, otherwise made again.

Commits aren't synchronised to the disk. So what a file holds counts only if it was closed in order
(then a mark beside it has its checksum), or if the machine has run ever since it was written and every
page and row of it checks out.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from bridge.gateway.view.row_parts import checksum
from bridge.gateway.view.table_forms import COLUMNS_BEFORE_INDEXES, TableForm
from bridge.gateway.view.view_state import (
    DamagedFile,
    ViewState,
    dump_state,
    load_state,
    why_rebuilt,
)
from bridge.private_files import FILE_MODE, make_private_file

APPLICATION: Final = 0x62726776
PAGE_BYTES: Final = 4096
CACHE_KIB: Final = 48_000
"""Of the writer's connection. Keys come in no order, so each insert may need any page."""
READ_BYTES: Final = 1 << 20
COMPANIONS: Final = ("", "-wal", "-shm", "-journal", ".clean", ".rebuild")

_STATE_TABLES: Final = (
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL, "
    "crc INTEGER NOT NULL);"
    "CREATE TABLE schema (id INTEGER PRIMARY KEY, text TEXT NOT NULL, crc INTEGER NOT NULL);"
)


@dataclass(frozen=True, slots=True)
class ViewFileSpec:
    """What a file has to be.

    path: of the file.
    forms: the tables, by bare entity name.
    binding: see `table_forms.binding`.
    history_ms: see `why_rebuilt`.
    max_bytes: of the file.
    """

    path: Path
    forms: Mapping[str, TableForm]
    binding: Mapping[str, Any]
    history_ms: int | None
    max_bytes: int


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """connection: for one thread at a time.
    state: what a continued file holds; that of a new one isn't complete.
    rebuilt: why it is new; empty: it is continued.
    """

    connection: sqlite3.Connection
    state: ViewState
    rebuilt: str


def open_view_file(spec: ViewFileSpec, *, boot: str, now_ms: int) -> OpenedFile:
    """Open the file, or make it again. Call it as the file's owner (`OwnerLock`). Blocks: it reads the
    whole file.

    boot: of the machine, see `boot_id`. now_ms: milliseconds since 1970.
    Raises OSError or sqlite3.Error if none can be made.
    """
    try:
        connection, state = _open_trusted(spec, boot, now_ms)
    except (DamagedFile, sqlite3.DatabaseError) as error:
        rebuilt = str(error)
    else:
        return OpenedFile(connection, state, "")
    remove_view_file(spec.path)
    return OpenedFile(_create(spec), ViewState(spec.binding), rebuilt)


def remove_view_file(path: Path) -> None:
    """Remove the file and what belongs to it, but not the owner's lock. Raises OSError."""
    for suffix in COMPANIONS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def close_view_file(path: Path, connection: sqlite3.Connection) -> None:
    """Close a file of which every commit counts, and mark it. Blocks: it reads the whole file and waits
    for the disk. Raises OSError or sqlite3.Error; the file is then checked when it is next opened.
    """
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()
    size, crc = _file_checksum(path)
    _synchronise(path)
    mark = path.with_name(path.name + ".clean")
    descriptor = os.open(mark, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump({"size": size, "crc": crc}, file)
    _synchronise(mark)
    _synchronise(path.parent)


def begin_updates(connection: sqlite3.Connection) -> None:
    """The rows are in: from now on commits are atomic, and readers see each of them as a whole."""
    connection.execute("PRAGMA journal_mode = WAL")


def write_state(connection: sqlite3.Connection, state: ViewState) -> None:
    """Write the state, in the transaction that is open."""
    connection.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", dump_state(state))


def read_state(connection: sqlite3.Connection) -> ViewState:
    """The state that was committed last. Raises DamagedFile, sqlite3.Error."""
    row = connection.execute("SELECT text, crc FROM state").fetchone()
    if row is None:
        raise DamagedFile("it has no description of itself")
    return load_state(*row)


def read_schemas(connection: sqlite3.Connection) -> dict[int, str]:
    """The texts of the schemas that rows were written with, by the registry's id. Raises DamagedFile,
    sqlite3.Error.
    """
    schemas = {}
    for number, text, crc in connection.execute("SELECT id, text, crc FROM schema"):
        if schema_checksum(number, text) != crc:
            raise DamagedFile("one of its schemas is damaged")
        schemas[number] = text
    return schemas


def schema_checksum(number: int, text: str) -> int:
    """Of a schema and its id."""
    return crc32(text.encode("utf-8", "replace"), number & 0xFFFFFFFF)


def _open_trusted(
    spec: ViewFileSpec, boot: str, now_ms: int
) -> tuple[sqlite3.Connection, ViewState]:
    """Raises DamagedFile or sqlite3.DatabaseError with what speaks against the file."""
    if not spec.path.exists():
        raise DamagedFile("there was none")
    is_clean = _take_clean_mark(spec.path)
    connection = _connect(spec)
    try:
        state = _trusted_state(connection, spec, now_ms)
        if not is_clean:
            _check_unclosed(connection, spec, state, boot)
        begin_updates(connection)
    except BaseException:
        connection.close()
        raise
    return connection, state


def _trusted_state(connection: sqlite3.Connection, spec: ViewFileSpec, now_ms: int) -> ViewState:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise DamagedFile("it isn't the file of a view")
    state = read_state(connection)
    if reason := why_rebuilt(state, spec.binding, now_ms, spec.history_ms):
        raise DamagedFile(reason)
    return state


def _check_unclosed(
    connection: sqlite3.Connection, spec: ViewFileSpec, state: ViewState, boot: str
) -> None:
    """Its process was killed. What it wrote is lost only if the machine stopped, too."""
    if not boot or state.boot != boot:
        raise DamagedFile("the machine stopped before it was closed")
    check_rows(connection, spec.forms)


def _take_clean_mark(path: Path) -> bool:
    """Whether the file is as it was closed. The mark is removed: what follows isn't covered by it."""
    mark = path.with_name(path.name + ".clean")
    try:
        expected = json.loads(mark.read_text(encoding="ascii"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        expected = None
    mark.unlink()
    size, crc = _file_checksum(path)
    if expected != {"size": size, "crc": crc}:
        raise DamagedFile("it isn't as it was closed")
    if any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal")):
        raise DamagedFile("it has a journal that isn't its own")
    return True


def check_rows(connection: sqlite3.Connection, forms: Mapping[str, TableForm]) -> None:
    """Check every page, index and row. Raises DamagedFile, sqlite3.DatabaseError."""
    result = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if result != "ok":
        raise DamagedFile(f"it is damaged: {result}")
    read_schemas(connection)
    for form in forms.values():
        for row in connection.execute(f"SELECT {', '.join(form.columns)} FROM {form.table}"):  # noqa: S608
            check_row(row)


def check_row(row: tuple[Any, ...]) -> None:
    """Check the values of a row's columns. Raises DamagedFile."""
    key, position, data, crc = row[:COLUMNS_BEFORE_INDEXES]
    try:
        is_whole = checksum(key, position, data, row[COLUMNS_BEFORE_INDEXES:]) == crc
    except TypeError:
        is_whole = False  # a damaged value may have another type
    if not is_whole:
        raise DamagedFile("one of its rows is damaged")


def _create(spec: ViewFileSpec) -> sqlite3.Connection:
    make_private_file(spec.path)
    connection = _connect(spec)
    try:
        # If it is killed before it is complete, it is made again: no journal is needed until then.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION}; {_STATE_TABLES}"
            + "".join(form.create_sql() for form in spec.forms.values())
        )
        write_state(connection, ViewState(spec.binding))
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(spec: ViewFileSpec) -> sqlite3.Connection:
    connection = sqlite3.connect(spec.path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"PRAGMA cache_size = {-CACHE_KIB}")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA max_page_count = {max(1, spec.max_bytes // PAGE_BYTES)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _file_checksum(path: Path) -> tuple[int, int]:
    crc = size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(READ_BYTES):
            crc, size = crc32(block, crc), size + len(block)
    return size, crc


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = [
    "OpenedFile",
    "ViewFileSpec",
    "begin_updates",
    "check_row",
    "check_rows",
    "close_view_file",
    "open_view_file",
    "read_schemas",
    "read_state",
    "remove_view_file",
    "schema_checksum",
    "write_state",
]
