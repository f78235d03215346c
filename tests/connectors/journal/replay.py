"""A table rebuilt from its changes: what the journal told must be all that happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.connector import CREATE, DELETE, Change


class Rebuilt:
    def __init__(self, key: int = 0) -> None:
        self.key = key
        self.rows: dict[Any, tuple[Any, ...]] = {}

    def take(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.op == CREATE:
                assert change.new[self.key] not in self.rows, f"created twice: {change}"
            else:
                assert change.old_full
                told = self.rows.pop(change.old[self.key], None)
                assert told == change.old, f"the old row was {told}: {change}"
            if change.op != DELETE:
                self.rows[change.new[self.key]] = change.new
