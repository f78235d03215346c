"""The file of a view, looked at by a process that doesn't own it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bridge.gateway.view.owner_lock import OwnedElsewhere, OwnerLock, is_owned
from bridge.gateway.view.row_parts import UNKNOWN, position_text
from bridge.gateway.view.view_file import (
    read_schemas,
    read_state,
    remove_view_file,
)
from bridge.gateway.view.view_state import DamagedFile
from bridge.model.avro import entity_of
from bridge.model.framing import HEADER_SIZE, schema_id
from bridge.model.types import Entity
from bridge.plan.lazy_record import Decoder

REBUILD_SUFFIX = ".rebuild"
"""Of a file beside that of the view, whose owner then builds it again."""


@dataclass(frozen=True, slots=True)
class ViewFileReport:
    """What a file says, and who has it.

    is_owned: whether a running process keeps it up.
    problem: why it can't be read; empty: it can.
    is_complete: whether it holds every row; False: it is being built.
    position: everything up to it is in.
    written_at: of its last commit, milliseconds since 1970; 0: none.
    rows, unknown: by bare entity name, how many rows, and how many the legacy system is asked for.
    """

    path: Path
    exists: bool
    is_owned: bool
    problem: str = ""
    bytes: int = 0
    is_complete: bool = False
    position: str = ""
    written_at: int = 0
    rows: Mapping[str, int] | None = None
    unknown: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ViewedRow:
    """A row of a file. position: of its last change that was sent as a whole; fields: None: it isn't
    known, the legacy system is asked for it.
    """

    position: str
    fields: Mapping[str, Any] | None


def inspect_view(path: Path) -> ViewFileReport:
    """What the file at `path` says. Counts its rows, so that it takes as long as there are many. Raises
    OSError.
    """
    owned = is_owned(path)
    if not path.exists():
        return ViewFileReport(path, exists=False, is_owned=owned)
    size = path.stat().st_size
    try:
        with closing(_connect(path)) as connection:
            state = read_state(connection)
            names = list(state.binding["entities"])
            tables = [(name, f'"rows_{name}"') for name in names]
            rows = {name: _count(connection, table, "") for name, table in tables}
            unknown = {name: _count(connection, table, "WHERE row = x''") for name, table in tables}
    except (DamagedFile, sqlite3.Error) as error:
        return ViewFileReport(path, exists=True, is_owned=owned, problem=str(error), bytes=size)
    return ViewFileReport(
        path,
        exists=True,
        is_owned=owned,
        bytes=size,
        is_complete=state.complete,
        position=state.position,
        written_at=state.written_at,
        rows=rows,
        unknown=unknown,
    )


def entity_in_view(path: Path, entity: str) -> Entity | None:
    """The type of an entity's rows, as the newest of them were written, with its key's fields in the
    order of the log's keys; None: there is no row. Raises DamagedFile, sqlite3.Error.
    """
    with closing(_connect(path)) as connection:
        schemas, state = read_schemas(connection), read_state(connection)
    of_entity = [
        (number, each)
        for number, text in schemas.items()
        if (each := entity_of(json.loads(text))).name == entity
    ]
    if not of_entity or entity not in state.binding["entities"]:
        return None
    key = tuple(field["name"] for field in state.binding["entities"][entity]["key"])
    return replace(max(of_entity, key=lambda each: each[0])[1], key=key)


def row_in_view(path: Path, entity: str, key: bytes) -> ViewedRow | None:
    """The row of a key, as the file has it; None: there is none. Raises DamagedFile, sqlite3.Error."""
    with closing(_connect(path)) as connection:
        row = connection.execute(
            f'SELECT position, row FROM "rows_{entity}" WHERE key = ?',  # noqa: S608
            (key,),
        ).fetchone()
        if row is None:
            return None
        position, data = position_text(row[0]), row[1]
        if data == UNKNOWN:
            return ViewedRow(position, None)
        text = read_schemas(connection)[schema_id(data)]
        decoder = Decoder(text, entity_of(json.loads(text)))
        return ViewedRow(position, decoder.row(data[HEADER_SIZE:]).as_dict())


def drop_view(path: Path) -> None:
    """Remove the file. Raises OwnedElsewhere while a process keeps it up, OSError."""
    lock = OwnerLock(path)
    try:
        remove_view_file(path)
    finally:
        lock.close()


def request_rebuild(path: Path) -> bool:
    """Have the file built again: by its owner within some seconds, or by the next one. Returns whether
    there is an owner. Raises OSError.
    """
    try:
        drop_view(path)
    except OwnedElsewhere:
        path.with_name(path.name + REBUILD_SUFFIX).touch(mode=0o600)
        return True
    return False


def take_rebuild_request(path: Path) -> bool:
    """Whether somebody asked the owner to build the file again; asked once. Raises OSError."""
    request = path.with_name(path.name + REBUILD_SUFFIX)
    if not request.exists():
        return False
    request.unlink(missing_ok=True)
    return True


def _connect(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    return sqlite3.connect(address, uri=True, isolation_level=None)


def _count(connection: sqlite3.Connection, table: str, where: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table} {where}").fetchone()  # noqa: S608
    return int(count)
