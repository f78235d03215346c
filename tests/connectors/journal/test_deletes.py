"""Every way in which SQLite deletes a row, generated: the journal must tell each once."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import DELETE
from connectors.journal import connector
from connectors.journal.dialects.sqlite.unique_columns import table_rules
from connectors.journal.short_engine import engine_for
from tests.example_counts import examples

from .conftest import Legacy
from .replay import Rebuilt

KEYS = ("1", "2", "3", "4")
TEXTS = ("'a'", "'A'", "'b'", "NULL")
NUMBERS = ("1", "2", "3", "NULL")

#: The key, and what else of the table may push rows out.
PRIMARY = (
    "id INTEGER PRIMARY KEY",
    "id INT NOT NULL PRIMARY KEY",
    "id NOT NULL DEFAULT 3 PRIMARY KEY",
    "id TEXT NOT NULL COLLATE NOCASE PRIMARY KEY",
    "id INTEGER PRIMARY KEY ON CONFLICT REPLACE",
)
SECOND = (
    "u",
    "u UNIQUE",
    "u INT NOT NULL DEFAULT 2 UNIQUE",
    "u UNIQUE ON CONFLICT REPLACE",
    "u INT NOT NULL ON CONFLICT REPLACE DEFAULT 1 UNIQUE ON CONFLICT IGNORE",
)
THIRD = ("s TEXT", "s TEXT UNIQUE COLLATE NOCASE")
PARENT = (
    "p",
    "p REFERENCES t (id) ON DELETE CASCADE ON UPDATE CASCADE",
    "p REFERENCES t (id) ON DELETE SET NULL ON UPDATE SET NULL",
)
INDEXES = (
    "",
    "CREATE UNIQUE INDEX i ON t (s COLLATE NOCASE)",
    "CREATE UNIQUE INDEX i ON t (u, s COLLATE RTRIM)",
    "CREATE UNIQUE INDEX i ON t (u) WHERE p IS NULL",
)
TRIGGERS = (
    "",
    "BEFORE INSERT ON t BEGIN UPDATE t SET p = 1 WHERE id = NEW.id; END",
    "BEFORE INSERT ON t BEGIN INSERT OR REPLACE INTO t VALUES (4, NEW.u, NEW.s, NULL); END",
    "BEFORE INSERT ON t BEGIN UPDATE OR REPLACE t SET u = NEW.u WHERE id = 2; END",
    "BEFORE INSERT ON t WHEN NEW.u = 3 BEGIN SELECT RAISE(IGNORE); END",
    "BEFORE UPDATE ON t BEGIN DELETE FROM t WHERE u = NEW.u AND id IS NOT OLD.id; END",
    "BEFORE DELETE ON t BEGIN UPDATE t SET p = NULL WHERE p = OLD.id AND id IS NOT OLD.id; END",
    "AFTER INSERT ON t BEGIN UPDATE OR REPLACE t SET u = 1 WHERE id = NEW.id; END",
    "AFTER UPDATE ON t BEGIN DELETE FROM t WHERE p = NEW.id; END",
    "AFTER DELETE ON t BEGIN DELETE FROM t WHERE u = OLD.u; END",
    "AFTER DELETE ON t BEGIN INSERT OR IGNORE INTO t VALUES (4, OLD.u, 'b', NULL); END",
)
TABLES = st.builds(
    lambda *parts: parts,
    st.sampled_from(PRIMARY),
    st.sampled_from(SECOND),
    st.sampled_from(THIRD),
    st.sampled_from(PARENT),
    st.sampled_from(("", " WITHOUT ROWID")),
    st.sampled_from(INDEXES),
    st.sampled_from(TRIGGERS),
)


def _row(keys: tuple[str, ...] = KEYS) -> st.SearchStrategy[str]:
    values = (keys, NUMBERS, TEXTS, NUMBERS)
    return st.builds(
        lambda *row: f"({', '.join(row)})", *(st.sampled_from(choices) for choices in values)
    )


ORS = st.sampled_from(("", "OR REPLACE ", "OR REPLACE ", "OR IGNORE ", "OR FAIL ", "OR ROLLBACK "))
SETS = st.sampled_from(
    (
        *(f"u = {value}" for value in NUMBERS),
        *(f"s = {value}" for value in TEXTS),
        *(f"id = {value}" for value in KEYS),
        "id = id + 1, s = 'A'",
        "p = 2",
        "rowid = 2",
    )
)
STATEMENTS = st.one_of(
    st.builds("INSERT {}INTO t VALUES {}, {}".format, ORS, _row(), _row()),
    st.builds("INSERT {}INTO t VALUES {}".format, ORS, _row(("NULL", *KEYS))),
    st.builds(
        "INSERT OR REPLACE INTO t (rowid, id, u, s, p) VALUES (2, {}, 3, 'b', 1)".format,
        st.sampled_from(KEYS),
    ),
    st.builds(
        "INSERT OR REPLACE INTO t SELECT id + 1, u, s, p FROM t WHERE id < {}".format,
        st.sampled_from(KEYS),
    ),
    st.builds("INSERT INTO t VALUES {} ON CONFLICT (id) DO UPDATE SET {}".format, _row(), SETS),
    st.builds("UPDATE {}t SET {} WHERE id >= {}".format, ORS, SETS, st.sampled_from(KEYS)),
    st.builds("UPDATE {}t SET {} WHERE id = {}".format, ORS, SETS, st.sampled_from(KEYS)),
    st.builds("DELETE FROM t WHERE id = {}".format, st.sampled_from(KEYS)),
    st.just("DELETE FROM t"),
    st.sampled_from(("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s")),
)


async def told_of(
    legacy: Legacy, table: tuple[str, ...], statements: list[str], *pragmas: str
) -> tuple[Rebuilt, list[tuple[object, ...]]]:
    """The table as its changes rebuild it, and as it is."""
    *columns, without_rowid, index, trigger = table
    legacy.run(
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = OFF",
        f"CREATE TABLE t ({', '.join(columns)}){without_rowid}",
        *([index] if index else []),
        *([f"CREATE TRIGGER legacy {trigger}"] if trigger else []),
        "INSERT OR IGNORE INTO t VALUES (1, 1, 'a', NULL), (2, 2, 'b', 1), (3, 3, NULL, 2)",
    )
    system = legacy.system("t")
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(None)
    # What a trigger or a foreign key does to the row that is being changed, SQLite's OLD does not have.
    rebuilt = Rebuilt(old_rows=not trigger and "REFERENCES" not in columns[3])
    rebuilt.rows = {row[0]: row for row in legacy.rows("SELECT * FROM t")}
    legacy.run(*pragmas)
    for statement in statements:
        try:
            legacy.run(statement)
        except sqlite3.Error:
            # A refused statement is undone by itself; a transaction may go on.
            continue
    if legacy.db.in_transaction:
        legacy.run("COMMIT")
    rebuilt.take((await source.read(10_000, 0)).changes)
    await source.close()
    return rebuilt, legacy.rows("SELECT * FROM t ORDER BY 1, 2")


@given(
    table=TABLES,
    statements=st.lists(STATEMENTS, min_size=1, max_size=8),
    recursive=st.booleans(),
    foreign=st.booleans(),
)
@settings(
    max_examples=examples(200),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
async def test_the_changes_of_any_table_rebuild_it(
    table: tuple[str, ...], statements: list[str], recursive: bool, foreign: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        legacy = Legacy(Path(folder) / "erp.db")
        try:
            rebuilt, rows = await told_of(
                legacy,
                table,
                statements,
                f"PRAGMA recursive_triggers = {recursive}",
                f"PRAGMA foreign_keys = {foreign}",
            )
        finally:
            legacy.db.close()
        assert sorted(rebuilt.rows.values(), key=repr) == sorted(rows, key=repr)


FIRST = "id INTEGER PRIMARY KEY"
EXAMPLES: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "null into NOT NULL DEFAULT": (
        (FIRST, "u INT NOT NULL DEFAULT 2 UNIQUE", "s", "p", "", "", ""),
        ["INSERT OR REPLACE INTO t VALUES (9, NULL, 'x', NULL)"],
    ),
    "an index of another collation": (
        (FIRST, "u", "s TEXT", "p", "", "CREATE UNIQUE INDEX i ON t (s COLLATE NOCASE)", ""),
        ["INSERT OR REPLACE INTO t VALUES (9, 9, 'A', NULL)"],
    ),
    "a BEFORE trigger of the table's own": (
        (FIRST, "u UNIQUE", "s", "p", "", "", TRIGGERS[1]),
        ["INSERT OR REPLACE INTO t VALUES (2, 1, 'x', NULL)"],
    ),
    "a trigger that inserts what is then pushed out": (
        (FIRST, "u UNIQUE", "s", "p", "", "", TRIGGERS[2]),
        ["INSERT OR REPLACE INTO t VALUES (2, 9, 'x', NULL)"],
    ),
    "the number of the row": (
        ("id TEXT PRIMARY KEY NOT NULL", "u", "s", "p", "", "", ""),
        [
            "INSERT OR REPLACE INTO t (rowid, id) VALUES (2, 'x')",
            "UPDATE OR REPLACE t SET rowid = 1 WHERE id = 'x'",
        ],
    ),
    "self-references": (
        (FIRST, "u UNIQUE", "s", PARENT[2], "", "", ""),
        ["INSERT OR REPLACE INTO t VALUES (9, 1, 'x', NULL)"],
    ),
}


@pytest.mark.parametrize(("table", "statements"), EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.parametrize("recursive", [False, True], ids=["", "recursive"])
async def test_what_replace_pushes_out_is_told_once(
    legacy: Legacy, table: tuple[str, ...], statements: list[str], recursive: bool
) -> None:
    rebuilt, rows = await told_of(
        legacy,
        table,
        statements,
        f"PRAGMA recursive_triggers = {recursive}",
        "PRAGMA foreign_keys = ON",
    )
    assert sorted(rebuilt.rows.values(), key=repr) == sorted(rows, key=repr)


async def test_tables_whose_names_begin_alike_have_triggers_of_their_own(legacy: Legacy) -> None:
    """`x` and `before_x` had one trigger between them, which told the changes of one as the other's."""
    legacy.run(*(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)" for name in ("x", "before_x")))
    system = legacy.system("x", "before_x")
    await connector.setup(system)
    assert connector.setup_sql(system) == []
    source = await connector.source(system)
    await source.open(None)
    legacy.run("INSERT INTO x VALUES (1)", "INSERT INTO before_x VALUES (2)", "DELETE FROM x")
    changes = (await source.read(10, 0)).changes
    await source.close()
    assert [(change.shape.table, (change.new or change.old)[0]) for change in changes] == [
        ("x", 1),
        ("before_x", 2),
        ("x", 1),
    ]
    assert changes[-1].op == DELETE


@pytest.mark.parametrize(
    ("trigger", "nests"),
    [
        ("legacy AFTER INSERT ON t", False),
        ('"of a b" after update OF u ON t', False),
        ("[x] AFTER UPDATE ON t", False),
        ("legacy AFTER DELETE ON t", True),
        ("legacy BEFORE INSERT ON t", True),
        ("legacy INSERT ON t", True),
        ('"AFTER INSERT" BEFORE INSERT ON t', True),
        ("AFTER UPDATE ON t", True),
    ],
)
async def test_only_tables_on_which_statements_may_nest_pay_for_it(
    legacy: Legacy, trigger: str, nests: bool
) -> None:
    """The last one is called AFTER and fires before."""
    legacy.run("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)")
    legacy.run(f"CREATE TRIGGER {trigger} BEGIN SELECT 1; END")
    await connector.setup(legacy.system("t"))
    with engine_for(legacy.system("t")) as engine, engine.connect() as connection:
        assert table_rules(connection, "t").nests is nests
