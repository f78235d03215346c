"""What really happened: the database's own word, without any code of the bridge."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from tests.torture.compare import AWAY, Happened

NAMES = ("id", "name", "n", "big")
_VALUE = re.compile(r"(\w+)\[[^\]]+\]:(null|unchanged-toast-datum|'(?:[^']|'')*'|[^ ]+)(?: |$)")
_LINE = re.compile(r"table public\.items: (INSERT|UPDATE|DELETE): (.*)")

# -- SQLite: triggers of the test's own, in the legacy transactions themselves --------------------

HISTORY = """
CREATE TABLE history (seq INTEGER PRIMARY KEY AUTOINCREMENT, op, id, name, n, big);
CREATE TRIGGER h_insert AFTER INSERT ON items BEGIN
    INSERT INTO history (op, id, name, n, big)
    VALUES ('create', new.id, new.name, new.n, new.big); END;
CREATE TRIGGER h_delete AFTER DELETE ON items BEGIN
    INSERT INTO history (op, id) VALUES ('delete', old.id); END;
CREATE TRIGGER h_update AFTER UPDATE ON items WHEN old.id = new.id BEGIN
    INSERT INTO history (op, id, name, n, big)
    VALUES ('update', new.id, new.name, new.n, new.big); END;
CREATE TRIGGER h_move AFTER UPDATE ON items WHEN old.id <> new.id BEGIN
    INSERT INTO history (op, id) VALUES ('delete', old.id);
    INSERT INTO history (op, id, name, n, big)
    VALUES ('create', new.id, new.name, new.n, new.big); END;
"""


def of_sqlite(path: Path) -> list[Happened]:
    """Everything that committed, in order."""
    db = sqlite3.connect(path)
    try:
        rows = db.execute("SELECT op, id, name, n, big FROM history ORDER BY seq").fetchall()
    finally:
        db.close()
    return [
        Happened(op, key, None if op == "delete" else dict(zip(NAMES, (key, *rest), strict=True)))
        for op, key, *rest in rows
    ]


# -- PostgreSQL: a second slot, read by pg_recvlogical --------------------------------------------


def of_postgres(program: Path, url: str, slot: str, upto: str) -> list[Happened]:
    """Everything that committed up to an LSN since the slot was made, in commit order."""
    dump = subprocess.run(
        [
            str(program),
            *("--dbname", url, "--slot", slot, "--start", "--no-loop", "--endpos", upto),
            *("--file", "-", "-o", "include-xids=0", "-o", "skip-empty-xacts=1"),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    changes: list[Happened] = []
    for line in dump.splitlines():
        match = _LINE.match(line)
        if match is not None:
            changes.extend(_changes(match[1], match[2]))
    return changes


def _changes(kind: str, text: str) -> list[Happened]:
    old, _, new = text.rpartition("new-tuple: ")
    row = _row(new)
    if kind == "INSERT":
        return [Happened("create", row["id"], row)]
    if kind == "DELETE":
        return [Happened("delete", row["id"], None)]
    before = _row(old.removeprefix("old-key: "))["id"] if old else row["id"]
    if before == row["id"]:
        return [Happened("update", row["id"], row)]
    return [Happened("delete", before, None), Happened("create", row["id"], row)]


def _row(text: str) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in _VALUE.findall(text)}


def _value(name: str, text: str) -> Any:
    if text == "null":
        return None
    if text == "unchanged-toast-datum":
        return AWAY
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return int(text) if name in {"id", "n"} else text
