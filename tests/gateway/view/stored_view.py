"""A view's file with an oracle beside it: dicts, one for each commit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.gateway.view.pending_writes import PendingWrites
from bridge.gateway.view.row_parts import RowLayout
from bridge.gateway.view.table_forms import binding, table_forms
from bridge.gateway.view.view_file import (
    COMPANIONS,
    OpenedFile,
    ViewFileSpec,
    close_view_file,
    open_view_file,
)
from bridge.gateway.view.view_reads import ViewReads
from bridge.gateway.view.view_state import ViewState
from bridge.gateway.view.view_store import ViewStore
from bridge.model.position import format_position
from bridge.private_files import make_private_folder
from tests.gateway.view.change_records import (
    ENTITIES,
    EXACT,
    ORDER,
    change_value,
    order_key,
    row_of,
    text_of,
)

FORMS = table_forms(ENTITIES, EXACT)
LAYOUTS = {1: RowLayout(text_of(ORDER), FORMS["order"])}
SCHEMAS = {1: text_of(ORDER)}
TOPICS = {name: f"b.erp.{name}" for name in ENTITIES}
BOOT = "boot-1"
HISTORY_MS = 30 * 24 * 3600 * 1000
NOW_MS = 1_800_000_000_000

Rows = dict[int, dict[str, Any]]


def file_spec(path: Path, *, max_bytes: int = 1 << 30, log: str = "kafka://k1") -> ViewFileSpec:
    """The file that is wanted."""
    wanted = binding("b", log, TOPICS, ENTITIES, FORMS)
    return ViewFileSpec(path, FORMS, wanted, HISTORY_MS, max_bytes)


def opened(spec: ViewFileSpec, *, boot: str = BOOT, now_ms: int = NOW_MS) -> OpenedFile:
    """As `open_view_file`, in the folder that its owner made."""
    make_private_folder(spec.path.parent)
    return open_view_file(spec, boot=boot, now_ms=now_ms)


class StoredView:
    """A file that is built and changed; `commits`: the rows by the position of each commit."""

    def __init__(self, spec: ViewFileSpec) -> None:
        self.spec = spec
        self.file = opened(spec)
        self.store = ViewStore(self.file.connection, FORMS)
        self.rows: Rows = {}
        self.commits: dict[str, Rows] = {}
        self.number = 0
        self.pending = PendingWrites(FORMS, self.store.held)

    def put(self, row: dict[str, Any]) -> None:
        """A whole row."""
        self.rows[row["id"]] = row
        self._add(row["id"], change_value(row, commit=self.number + 1))

    def delete(self, number: int) -> None:
        """A row is deleted, whether there is one or not."""
        self.rows.pop(number, None)
        self._add(number, change_value(None, op="delete", commit=self.number + 1))

    def _add(self, number: int, value: bytes) -> None:
        self.pending.add("order", order_key(number), LAYOUTS[1].parts(value), LAYOUTS)

    def finish(self) -> None:
        """What was put so far is complete."""
        self.store.load(self.pending.take(), SCHEMAS)
        self.store.finish(self._state())

    def publish(self) -> None:
        """Commit what was put since."""
        self.store.publish(self.pending.take(), SCHEMAS, self._state())

    def _state(self) -> ViewState:
        self.number += 1
        position = format_position(0, self.number, 0)
        self.commits[position] = dict(self.rows)
        state = ViewState(self.spec.binding, BOOT, position=position, written_at=NOW_MS)
        return replace(state, complete=True)

    def close(self) -> None:
        """In order."""
        close_view_file(self.spec.path, self.file.connection)

    def killed(self, folder: Path) -> ViewFileSpec:
        """The files as they are if the process is killed now, copied to another folder."""
        folder.mkdir(exist_ok=True)
        for suffix in COMPANIONS:
            path = self.spec.path.with_name(self.spec.path.name + suffix)
            target = folder / path.name
            target.unlink(missing_ok=True)
            if path.exists():
                shutil.copyfile(path, target)
        return replace(self.spec, path=folder / self.spec.path.name)

    def is_of_a_commit(self, file: OpenedFile, path: Path) -> bool:
        """Whether a continued file holds exactly the rows of the commit that it says it is of."""
        return stored_rows(path) == self.commits[file.state.position]


def stored_rows(path: Path, numbers: range = range(-5, 200)) -> Rows:
    """The orders of a file, by number, as they are read one by one."""
    reads = ViewReads(path, FORMS)
    try:
        rows = reads.get_many("order", [order_key(number) for number in numbers])
        return {
            number: row_of(row)
            for number, row in zip(numbers, rows, strict=True)
            if row is not None
        }
    finally:
        reads.close()
