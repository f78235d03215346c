"""The legacy system: one JSON file of tables, whose rows have the time of their last change."""

from __future__ import annotations

import fcntl
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

MODIFIED_COLUMN = "modified"
MAX_DELAY_MICROS = 40_000
"""A program takes the time when it begins; its row is there up to so much later."""

Row = dict[str, Any]


@dataclass(frozen=True)
class StoreTable:
    """`columns` name and field type; `rows` by the text of their key, in its order."""

    key: str
    columns: dict[str, str]
    rows: dict[str, Row]


class JsonStore:
    """The file; written whole and renamed, so that readers see all of a transaction or nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._late = random.Random(5)  # noqa: S311 - made-up delays

    def tables(self) -> dict[str, StoreTable]:
        """Everything that is in there."""
        stored_tables = json.loads(self.path.read_text())
        return {name: StoreTable(**fields) for name, fields in stored_tables.items()}

    @contextmanager
    def transaction(self) -> Iterator[dict[str, StoreTable]]:
        """The tables, written back at the end."""
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tables = self.tables() if self.path.exists() else {}
            yield tables
            new_file = self.path.with_suffix(".new")
            new_file.write_text(json.dumps({name: vars(table) for name, table in tables.items()}))
            os.replace(new_file, self.path)  # noqa: PTH105 - atomic

    def put(self, table: StoreTable, values: Row) -> None:
        """Create or change a row; its time is a little late, and always another one."""
        key = str(values[table.key])
        old = table.rows.get(key, {})
        stamp = time.time_ns() // 1000 - self._late.randrange(MAX_DELAY_MICROS)
        row = dict.fromkeys(table.columns) | old | {k: _flat(v) for k, v in values.items()}
        table.rows[key] = row | {MODIFIED_COLUMN: max(stamp, old.get(MODIFIED_COLUMN, 0) + 1)}


def _flat(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
