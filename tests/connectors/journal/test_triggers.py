"""What the triggers tell, held against what happened to the table."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import CREATE, DELETE, UPDATE, Ask
from connectors.journal import connector
from tests.example_counts import examples

from .conftest import Legacy
from .replay import Rebuilt

KEYS = st.integers(1, 4)
VALUES = st.sampled_from(["NULL", "1", "2", "3", "4"])
STATEMENTS = st.one_of(
    st.builds("INSERT INTO t VALUES ({}, {}, {}, {})".format, KEYS, VALUES, VALUES, VALUES),
    st.builds(
        "INSERT OR REPLACE INTO t VALUES ({}, {}, {}, {})".format, KEYS, VALUES, VALUES, VALUES
    ),
    st.builds(
        "INSERT OR IGNORE INTO t VALUES ({}, {}, {}, {})".format, KEYS, VALUES, VALUES, VALUES
    ),
    st.builds("REPLACE INTO t (u, a, b) VALUES ({}, {}, {})".format, VALUES, VALUES, VALUES),
    st.builds(
        "INSERT INTO t VALUES ({}, {}, {}, 5) ON CONFLICT (id) DO UPDATE SET u = {}, b = 6".format,
        KEYS,
        VALUES,
        VALUES,
        VALUES,
    ),
    st.builds(
        "INSERT INTO t VALUES ({}, {}, 1, 5) ON CONFLICT (u) DO UPDATE SET id = {}".format,
        KEYS,
        VALUES,
        KEYS,
    ),
    st.builds("UPDATE t SET b = {} WHERE id <= {}".format, VALUES, KEYS),
    st.builds("UPDATE OR REPLACE t SET id = {}, u = {} WHERE id = {}".format, KEYS, VALUES, KEYS),
    st.builds("UPDATE OR REPLACE t SET u = {} WHERE id >= {}".format, VALUES, KEYS),
    st.builds("UPDATE OR IGNORE t SET u = {}, a = {} WHERE id >= {}".format, VALUES, VALUES, KEYS),
    st.builds("UPDATE t SET id = id + {} WHERE id = {}".format, KEYS, KEYS),
    st.builds("DELETE FROM t WHERE id = {}".format, KEYS),
    st.builds("DELETE FROM t WHERE b IS {}".format, VALUES),
    st.sampled_from(["BEGIN", "COMMIT", "ROLLBACK"]),
)


SEVERAL = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, a, b, UNIQUE (a, b))"
KEY_ONLY = "CREATE TABLE t (id INTEGER PRIMARY KEY, u, a, b)"


@given(
    table=st.sampled_from([SEVERAL, SEVERAL, KEY_ONLY]),
    statements=st.lists(STATEMENTS, max_size=12),
    recursive=st.booleans(),
)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_a_program_does_to_a_table_its_changes_rebuild_it_old_rows_included(
    table: str, statements: list[str], recursive: bool
) -> None:
    """REPLACE pushes rows out without delete triggers; every way of it must still be told."""
    with tempfile.TemporaryDirectory() as folder:
        legacy = Legacy(Path(folder) / "erp.db")
        legacy.run(
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = OFF",
            table,
        )
        system = legacy.system("t")
        await connector.setup(system)
        source = await connector.source(system)
        await source.open(None)
        legacy.run(f"PRAGMA recursive_triggers = {recursive}")
        for statement in statements:
            try:
                legacy.run(statement)
            except (sqlite3.IntegrityError, sqlite3.OperationalError):
                # A refused statement is undone by itself; a transaction may go on.
                continue
        if legacy.db.in_transaction:
            legacy.run("COMMIT")
        rebuilt = Rebuilt()
        rebuilt.take((await source.read(10_000, 0)).changes)
        await source.close()
        assert sorted(rebuilt.rows.values()) == legacy.rows("SELECT * FROM t ORDER BY id")
        legacy.db.close()


async def test_rows_without_a_whole_number_key_are_told_too(legacy: Legacy) -> None:
    """Composite text keys, WITHOUT ROWID, names that need quotes, NOCASE keys."""
    legacy.run(
        'CREATE TABLE "a b" ("x:y" TEXT COLLATE NOCASE, "select" INT, "o\'k" BLOB,'
        ' PRIMARY KEY ("x:y", "select")) WITHOUT ROWID'
    )
    system = legacy.system("a b")
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(None)
    legacy.run(
        "INSERT INTO \"a b\" VALUES ('k', 1, x'00')",
        "REPLACE INTO \"a b\" VALUES ('K', 1, x'01')",
        'DELETE FROM "a b"',
    )
    seen_changes = [change[1:5] for change in (await source.read(10, 0)).changes]
    await source.close()
    assert seen_changes == [
        (CREATE, None, False, ("k", 1, b"\x00")),
        (UPDATE, ("k", 1, b"\x00"), True, ("K", 1, b"\x01")),
        (DELETE, ("K", 1, b"\x01"), True, None),
    ]


async def test_cascades_of_foreign_keys_are_told(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE head (id INTEGER PRIMARY KEY)",
        "CREATE TABLE line (id INTEGER PRIMARY KEY, head INT REFERENCES head ON DELETE CASCADE)",
        "INSERT INTO head VALUES (1)",
        "INSERT INTO line VALUES (10, 1), (11, 1)",
    )
    system = legacy.system("head", "line")
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(None)
    legacy.run("PRAGMA foreign_keys = ON", "DELETE FROM head")
    seen_changes = [
        (change.shape.table, change.op, change.old) for change in (await source.read(10, 0)).changes
    ]
    await source.close()
    assert sorted(seen_changes) == [
        ("head", DELETE, (1,)),
        ("line", DELETE, (10, 1)),
        ("line", DELETE, (11, 1)),
    ]


async def test_a_legacy_trigger_that_changes_the_same_row_is_told_in_order(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE TRIGGER legacy AFTER UPDATE OF a ON t BEGIN UPDATE t SET b = NEW.a + 1 "
        "WHERE id = NEW.id; END",
        "INSERT INTO t VALUES (1, 0, 0)",
    )
    system = legacy.system("t")
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(None)
    legacy.run("UPDATE t SET a = 5")
    seen_changes = [(change.old, change.new) for change in (await source.read(10, 0)).changes]
    await source.close()
    assert seen_changes == [((1, 0, 0), (1, 5, 0)), ((1, 5, 0), (1, 5, 6))]


async def test_a_legacy_trigger_that_is_newer_than_ours_is_found_and_set_up_mends_it(
    legacy: Legacy,
) -> None:
    """SQLite fires the newest trigger first: ours must be the newest to tell changes in order."""
    legacy.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)", "INSERT INTO t VALUES (1, 0, 0)")
    system = legacy.system("t")
    whats = [finding.what for finding in await connector.check(system)]
    assert "the journal triggers of table 't' are missing" in whats
    await connector.setup(system)
    legacy.run(
        "CREATE TRIGGER legacy AFTER UPDATE OF a ON t BEGIN UPDATE t SET b = NEW.a + 1 "
        "WHERE id = NEW.id; END"
    )
    (finding,) = await connector.check(system)
    assert "not the newest triggers" in finding.what
    assert finding.create
    await connector.setup(system)
    assert await connector.check(system) == []
    source = await connector.source(system)
    await source.open(None)
    legacy.run("UPDATE t SET a = 5")
    assert (await source.read(10, 0)).changes[-1].new == (1, 5, 6)
    await source.close()


@pytest.mark.parametrize(
    "value",
    [
        "9223372036854775807",
        "-9223372036854775808",
        "0.1",
        "1e308",
        "9e999",
        "4.9406564584124654e-324",
        "'text with '' and \u00e9 \U0001f600'",
        "x'00ff'",
        "zeroblob(100000)",
        "'12'",
        "12.0",
        "NULL",
        "char(97, 0, 98)",
        "CAST(x'4dfc6c6c6572' AS TEXT)",
    ],
)
async def test_values_come_back_exactly_as_a_read_of_the_table_gives_them(
    legacy: Legacy, value: str
) -> None:
    """The last one is Latin-1 in a text column: bytes, for `code_page` to read."""
    legacy.run("CREATE TABLE t (id INTEGER PRIMARY KEY, bare, n NUMERIC(15,2), s TEXT, r REAL)")
    system = legacy.system("t")
    await connector.setup(system)
    source, reader = await connector.source(system), await connector.reader(system)
    await source.open(None)
    legacy.run(f"INSERT INTO t VALUES (1, {value}, {value}, {value}, {value})")
    (change,) = (await source.read(10, 0)).changes
    (row,) = (await reader.fetch(Ask("t", ("id",), [(1,)]))).rows
    await source.close()
    await reader.close()
    assert [(type(item), item) for item in change.new] == [(type(item), item) for item in row]


async def test_the_legacy_program_sees_its_own_last_row_number_and_count(legacy: Legacy) -> None:
    """Inserts of triggers must not show through what programs rely on."""
    legacy.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    await connector.setup(legacy.system("t"))
    cursor = legacy.db.execute("INSERT INTO t (a) VALUES (1), (2)")
    assert (cursor.lastrowid, cursor.rowcount) == (2, 2)
    assert legacy.db.execute("UPDATE t SET a = 3").rowcount == 2
