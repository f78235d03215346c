"""A table rebuilt from its changes: what the journal told must be all that happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.connector import CREATE, DELETE, Change


class Rebuilt:
    """`old_rows`: whether each change's old row is the one that was told before; without, an update
    may also be of a row that wasn't told yet.
    """

    def __init__(self, key: int = 0, *, old_rows: bool = True) -> None:
        self.key = key
        self.old_rows = old_rows
        self.rows: dict[Any, tuple[Any, ...]] = {}

    def take(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.op == CREATE:
                fresh = change.new[self.key] not in self.rows
                assert fresh or not self.old_rows, f"created twice: {change}"
            else:
                assert change.old_full
                last_row = self.rows.pop(change.old[self.key], None)
                if self.old_rows:
                    assert last_row == change.old, f"the old row was {last_row}: {change}"
                assert last_row is not None or change.op != DELETE, f"deleted twice: {change}"
            if change.op != DELETE:
                self.rows[change.new[self.key]] = change.new
