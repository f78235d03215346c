"""Chunks follow the index of the key, and jobs go on as they began."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bridge.connector import Chunk
from connectors.sql.read.snapshot import SqlSnapshot
from tests.connectors.sql.conftest import SqlDatabase


async def walk(snapshot: SqlSnapshot, limit: int) -> list[Any]:
    rows: list[Any] = []
    after: list[Any] | None = None
    while True:
        chunk: Chunk = await snapshot.chunk("t", None, after, limit)
        rows += chunk.rows
        after = chunk.last
        if after is None:
            return rows


async def test_chunks_follow_the_index_of_the_key_and_not_the_table(lite: SqlDatabase) -> None:
    """A sort of the whole table for each chunk is quadratic."""
    lite.run("CREATE TABLE t (a integer, n integer, b integer, PRIMARY KEY (b, a))")
    for number in range(30):
        lite.db.execute("INSERT INTO t VALUES (?, ?, ?)", (number % 3, number, number))
    snapshot = SqlSnapshot(lite.system("t"), lite.dialect)
    statements: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "ORDER BY" in statement:
            statements.append((statement, parameters))

    sa.event.listen(snapshot._threads._engine, "before_cursor_execute", listen)
    rows = await walk(snapshot, 7)
    await snapshot.close()
    assert [row[1] for row in rows] == list(range(30))
    plan = lite.db.execute(f"EXPLAIN QUERY PLAN {statements[1][0]}", statements[1][1]).fetchall()
    assert any("USING INDEX sqlite_autoindex_t_1" in line[3] for line in plan), plan
    assert not any("TEMP B-TREE" in line[3] for line in plan), plan


async def test_a_snapshot_that_an_earlier_release_began_goes_on(lite: SqlDatabase) -> None:
    """It took the key's columns in the table's order, and wrote their values without names."""
    lite.run("CREATE TABLE t (a integer, n integer, b integer, PRIMARY KEY (b, a))")
    for number in range(9):
        lite.db.execute("INSERT INTO t VALUES (?, ?, ?)", (number % 3, number, number))
    snapshot = SqlSnapshot(lite.system("t"), lite.dialect)
    chunk = await snapshot.chunk("t", None, [["integer", "1"], ["integer", "4"]], 100)
    assert [row[1] for row in chunk.rows] == [7, 2, 5, 8]
    lite.run("DROP TABLE t", "CREATE TABLE t (a integer, n integer PRIMARY KEY)")
    lite.run("INSERT INTO t VALUES (1, 1), (2, 2)")
    cursor = [
        {"column": "b", "value": ["integer", "1"]},
        {"column": "a", "value": ["integer", "4"]},
    ]
    await snapshot.close()
    snapshot = SqlSnapshot(lite.system("t"), lite.dialect)
    chunk = await snapshot.chunk("t", None, cursor, 100)
    await snapshot.close()
    assert len(chunk.rows) == 2, "another key: it begins again"


async def test_a_key_column_that_is_renamed_between_two_chunks_begins_the_table_again(
    lite: SqlDatabase,
) -> None:
    lite.run("CREATE TABLE t (a integer PRIMARY KEY, n integer)")
    for number in range(5):
        lite.db.execute("INSERT INTO t VALUES (?, ?)", (number, number))
    snapshot = SqlSnapshot(lite.system("t"), lite.dialect)
    first = await snapshot.chunk("t", None, None, 2)
    lite.run("ALTER TABLE t RENAME COLUMN a TO b")
    second = await snapshot.chunk("t", None, first.last, 9)
    await snapshot.close()
    assert [column.name for column in second.shape.columns] == ["b", "n"]
    assert len(second.rows) == 5
