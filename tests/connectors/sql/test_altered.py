"""Tables that change under a Reader and a Writer: nothing fails for good that a second try cures."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bridge.connector import Ask, Done, Effect, Rows, Shape
from bridge.model.errors import Rejected, RetryLater
from connectors.sql.read.reader import CATALOGUE_INTERVAL_S, SqlReader
from connectors.sql.write.writer import SqlWriter
from tests.connectors.sql.conftest import SqlDatabase

TABLE = "CREATE TABLE stock (id integer PRIMARY KEY, qty integer, note varchar(40))"
ROW = "INSERT INTO stock VALUES (1, 100, 'x'), (2, 5, 'y')"
#: More than the driver runs before it lets the server prepare a statement.
OFTEN = 8
ALTERED: dict[str, tuple[str, dict[str, Any]]] = {
    "added": ("ALTER TABLE stock ADD COLUMN place varchar(9)", {"place": None}),
    "dropped": ("ALTER TABLE stock DROP COLUMN note", {}),
    "renamed": ("ALTER TABLE stock RENAME COLUMN qty TO amount", {"amount": 100}),
}
RETYPED = {
    "wider": ("ALTER TABLE stock ALTER qty TYPE numeric(12,3)", "decimal"),
    "other": ("ALTER TABLE stock ALTER qty TYPE text", "string"),
    "key": ("ALTER TABLE stock ALTER id TYPE bigint", "integer"),
}


def first(rows: Rows) -> dict[str, Any]:
    [row] = rows.rows
    return dict(zip([column.name for column in rows.shape.columns], row, strict=True))


@pytest.mark.parametrize("how", ALTERED)
async def test_reads_go_on_over_every_change_of_the_table(
    erp_database: SqlDatabase, how: str
) -> None:
    erp_database.run(TABLE, ROW)
    reader = SqlReader(erp_database.system("stock", connections=1), erp_database.dialect)
    for _ in range(OFTEN):
        before = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    statement, expected = ALTERED[how]
    erp_database.run(statement)
    for _ in range(OFTEN):
        after = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    await reader.close()
    names = [column["name"] for column in columns_of(erp_database)]
    assert list(first(after)) == names
    assert first(after).items() >= {"id": 1, **expected}.items()
    assert after.shape is not before.shape


def columns_of(erp_database: SqlDatabase) -> list[dict[str, Any]]:
    import sqlalchemy as sa

    from connectors.sql.engine import make_engine

    engine = make_engine(erp_database.system("stock"))
    try:
        return [dict(column) for column in sa.inspect(engine).get_columns("stock")]
    finally:
        engine.dispose()


async def test_a_column_that_was_added_can_be_asked_for_at_once(erp_database: SqlDatabase) -> None:
    """By what the reader knew of the table there is none."""
    erp_database.run(TABLE, ROW)
    reader = SqlReader(erp_database.system("stock"), erp_database.dialect)
    await reader.fetch(Ask("stock", ("id",), [(1,)]))
    erp_database.run("ALTER TABLE stock ADD COLUMN place varchar(9) DEFAULT 'a1'")
    result = await reader.fetch(Ask("stock", ("place",), [("a1",)]))
    await reader.close()
    assert len(result.rows) == 2


@pytest.mark.parametrize("how", RETYPED)
async def test_columns_of_another_type_are_another_shape(server: SqlDatabase, how: str) -> None:
    """Their names are what they were."""
    server.run(TABLE, ROW)
    reader = SqlReader(server.system("stock", connections=1), server.dialect)
    for _ in range(OFTEN):
        before = await reader.fetch(Ask("stock", ("qty",), [(5,)]))
    statement, kind = RETYPED[how]
    server.run(statement)
    key = "5" if how == "other" else 5
    for _ in range(OFTEN):
        after = await reader.fetch(Ask("stock", ("qty",), [(key,)]))
    await reader.close()
    assert len(after.rows) == 1
    assert after.shape is not before.shape
    at = 0 if how == "key" else 1
    assert after.shape.columns[at].type.name == kind
    assert after.shape.columns[at] != before.shape.columns[at]


async def test_a_table_of_sqlite_that_is_made_again_is_another_shape(lite: SqlDatabase) -> None:
    """SQLite's results don't tell types, and migrations replace tables."""
    lite.run(TABLE, ROW)
    reader = SqlReader(lite.system("stock"), lite.dialect)
    before = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    lite.run(
        "CREATE TABLE fresh (id integer PRIMARY KEY, qty text, note varchar(40))",
        "INSERT INTO fresh SELECT * FROM stock",
        "DROP TABLE stock",
        "ALTER TABLE fresh RENAME TO stock",
    )
    after = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    again = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    await reader.close()
    assert [column.type.name for column in before.shape.columns] == ["integer", "integer", "string"]
    assert [column.type.name for column in after.shape.columns] == ["integer", "string", "string"]
    assert first(after)["qty"] == "100"
    assert again.shape is after.shape


@pytest.mark.parametrize("how", ALTERED)
async def test_commands_go_on_over_every_change_of_the_columns(
    erp_database: SqlDatabase, how: str
) -> None:
    await commands_go_on(erp_database, ALTERED[how][0])


@pytest.mark.parametrize("how", RETYPED)
async def test_commands_go_on_over_every_change_of_the_types(server: SqlDatabase, how: str) -> None:
    await commands_go_on(server, RETYPED[how][0])


async def commands_go_on(erp_database: SqlDatabase, statement: str) -> None:
    erp_database.run(TABLE, ROW)
    erp_database.make_ledger()
    writer = SqlWriter(erp_database.system("stock"), erp_database.dialect)
    await writer.prepare()
    seen: list[tuple[Shape | None, Any]] = []

    def effect(number: int) -> Effect:
        return Effect(
            command_id=f"bot:{number}",
            digest="x",
            statement="UPDATE stock SET id = id WHERE id = :key RETURNING *",
            parameters={"key": 2},
            table="stock",
            key={"id": 2},
            guard=lambda shape, row: seen.append((shape, row)),
        )

    for number in range(OFTEN):
        assert isinstance((await writer.execute([effect(number)]))[0], Done)
    erp_database.run(statement)
    for number in range(OFTEN, 2 * OFTEN):
        [done] = await writer.execute([effect(number)])
        assert isinstance(done, Done), done
    await writer.close()
    shape, row = seen[-1]
    assert shape is not None
    assert shape is not seen[0][0]
    assert [column.name for column in shape.columns] == [
        column["name"] for column in columns_of(erp_database)
    ]
    assert len(row) == len(shape.columns)


@pytest.mark.parametrize("column", ["50% off", "100%%", "a:b", "%s", "%(x)s", 'q"q', "x y"])
async def test_names_of_any_characters_are_read_and_written(
    erp_database: SqlDatabase, column: str
) -> None:
    quoted = '"' + column.replace('"', '""') + '"'
    table = "t%"
    erp_database.run(
        f'CREATE TABLE "{table}" ({quoted} integer PRIMARY KEY, n integer)',
        f'INSERT INTO "{table}" VALUES (1, 10), (2, 20)',
    )
    erp_database.make_ledger()
    reader = SqlReader(erp_database.system(table), erp_database.dialect)
    result = await reader.fetch(Ask(table, (column,), [(2,)]))
    await reader.close()
    assert first(result) == {column: 2, "n": 20}
    writer = SqlWriter(erp_database.system(table), erp_database.dialect)
    await writer.prepare()
    rows: list[Any] = []
    [done] = await writer.execute([
        Effect(
            command_id="bot:1",
            digest="x",
            statement=f'UPDATE "{table}" SET n = :n WHERE n = 20',
            parameters={"n": 7},
            table=table,
            key={column: 2},
            guard=lambda _, row: rows.append(row),
        )
    ])  # fmt: skip
    await writer.close()
    assert isinstance(done, Done), done
    assert rows == [(2, 20)]
    assert done.after == (2, 7)


async def test_reads_and_commands_leave_tables_that_inherit_alone(server: SqlDatabase) -> None:
    """Their rows are never captured: events and reads would disagree."""
    from connectors.postgres.capture_dialect import POSTGRES

    server.run(
        TABLE,
        "CREATE TABLE far () INHERITS (stock)",
        "INSERT INTO far VALUES (7, 1, 'far')",
        ROW,
        "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)",
        "INSERT INTO parts VALUES (3)",
        "CREATE VIEW shown AS SELECT * FROM stock",
    )
    server.make_ledger()
    system = server.system("stock", "parts", "shown")
    reader = SqlReader(system, POSTGRES)
    assert len((await reader.fetch(Ask("stock"))).rows) == 2
    assert (await reader.fetch(Ask("stock", ("id",), [(7,)]))).rows == []
    assert len((await reader.fetch(Ask("parts", ("id",), [(3,)]))).rows) == 1
    assert len((await reader.fetch(Ask("shown"))).rows) == 3
    await reader.close()
    writer = SqlWriter(system, POSTGRES)
    await writer.prepare()

    def effect(number: int, statement: str, key: int) -> Effect:
        parameters = {"key": key}
        return Effect(f"bot:{number}", "x", statement, parameters, "stock", {"id": key})

    update, delete = "UPDATE stock SET qty = 0 WHERE id = :key", "DELETE FROM stock WHERE id = :key"
    insert = "INSERT INTO stock VALUES (:key, 1, '')"
    outcomes = await writer.execute([
        effect(1, update, 7), effect(2, delete, 7), effect(3, update, 1), effect(4, delete, 1),
        effect(5, insert, 9),
    ])  # fmt: skip
    await writer.close()
    codes = [each.code if isinstance(each, Rejected) else type(each).__name__ for each in outcomes]
    assert codes == ["not_found", "not_found", "Done", "Done", "Done"]
    assert server.rows("SELECT id, qty FROM far") == [(7, 1)]


async def test_a_result_that_the_catalogue_does_not_know_yet_is_asked_for_later(
    erp_database: SqlDatabase,
) -> None:
    """The table was changed between the two: the next read finds them agreed."""
    erp_database.run(TABLE, ROW)
    reader = SqlReader(erp_database.system("stock"), erp_database.dialect)
    await reader.fetch(Ask("stock", ("id",), [(1,)]))
    read = reader._tables._read
    reader._tables._read = lambda *_: before
    before = (await reader.fetch(Ask("stock", ("id",), [(1,)]))).shape
    erp_database.run("ALTER TABLE stock ADD COLUMN place varchar(9)")
    with pytest.raises(RetryLater, match="it is being changed"):
        await reader.fetch(Ask("stock", ("id",), [(1,)]))
    reader._tables._read = read
    assert len((await reader.fetch(Ask("stock", ("id",), [(1,)]))).shape.columns) == 4
    await reader.close()


async def test_rows_never_come_under_the_types_of_a_later_change(server: SqlDatabase) -> None:
    """The table is changed once more between the rows and the catalogue that describes them."""
    server.run(TABLE, ROW)
    reader = SqlReader(server.system("stock", connections=1), server.dialect)
    await reader.fetch(Ask("stock", ("id",), [(1,)]))
    server.run("ALTER TABLE stock ALTER qty TYPE numeric(12,3)")
    read = reader._tables._read
    later = ["ALTER TABLE stock ALTER qty TYPE text"]

    def read_after_a_change(*arguments: Any) -> Shape:
        while later:
            server.run(later.pop())
        return read(*arguments)

    reader._tables._read = read_after_a_change
    rows = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    await reader.close()
    assert not later
    assert rows.shape.columns[1].type.name == "string"
    assert first(rows)["qty"] == "100.000"


async def test_a_read_that_failed_by_an_old_shape_is_tried_again_though_another_noticed_first(
    server: SqlDatabase,
) -> None:
    server.run(TABLE, ROW)
    reader = SqlReader(server.system("stock"), server.dialect)
    await reader.fetch(Ask("stock", ("qty",), [(5,)]))
    server.run("ALTER TABLE stock ALTER qty TYPE text")
    query, shapes = reader._query, []

    def query_while_another_reads(connection: Any, ask: Ask, shape: Shape, *more: Any) -> Any:
        shapes.append(shape)
        try:
            return query(connection, ask, shape, *more)
        except Exception:
            reader._tables.read_again(connection, "stock")
            raise

    reader._query = query_while_another_reads  # type: ignore[method-assign, assignment]
    rows = await reader.fetch(Ask("stock", ("qty",), [("5",)]))
    await reader.close()
    assert len(rows.rows) == 1
    assert [shape.columns[1].type.name for shape in shapes[:2]] == ["integer", "string"]


@pytest.mark.parametrize(
    ("first_type", "second_type"),
    [
        ("numeric(9,3)[]", "numeric(9,1)[]"),
        ("character varying(9)[]", "character varying(4)[]"),
        ("bit(9)[]", "bit(4)[]"),
        ("interval(3)", "interval(1)"),
    ],
)
async def test_another_modifier_of_a_type_is_another_shape(
    server: SqlDatabase, first_type: str, second_type: str
) -> None:
    from connectors.postgres.capture_dialect import POSTGRES

    server.run(f"CREATE TABLE lists (id int PRIMARY KEY, parts {first_type})")
    reader = SqlReader(server.system("lists"), POSTGRES)
    before = await reader.fetch(Ask("lists", ("id",), [(1,)]))
    server.run(f"ALTER TABLE lists ALTER parts TYPE {second_type}")
    after = await reader.fetch(Ask("lists", ("id",), [(1,)]))
    await reader.close()
    natives = [rows.shape.columns[1].native for rows in (before, after)]
    assert natives == [first_type, second_type]


async def test_what_no_result_shows_is_noticed_after_a_while(server: SqlDatabase) -> None:
    """A column list of the publication says which columns events have, and so the entity."""
    from connectors.postgres.capture_dialect import POSTGRES, read_table

    server.run(TABLE, ROW, "CREATE PUBLICATION bridge FOR TABLE stock (id, qty)")
    now = [0.0]
    dialect = replace(POSTGRES, table=partial(read_table, publication="bridge"))
    reader = SqlReader(server.system("stock"), dialect, monotonic=lambda: now[0])
    captured = []
    for seconds in (0.0, 1.0, CATALOGUE_INTERVAL_S + 1, CATALOGUE_INTERVAL_S + 2):
        now[0] = seconds
        shape = (await reader.fetch(Ask("stock", ("id",), [(1,)]))).shape
        captured.append([column.captured for column in shape.columns])
        server.run("ALTER PUBLICATION bridge SET TABLE stock (id, qty, note)")
    await reader.close()
    before, after = [True, True, False], [True, True, True]
    assert captured == [before, before, after, after]


async def test_a_file_put_in_the_databases_place_is_another_server(
    lite: SqlDatabase, tmp_path: Path
) -> None:
    """It counts its own changes of the schema, so that their number may be that of the first."""
    lite.run(TABLE, ROW)
    restored = sqlite3.connect(tmp_path / "restored.db", isolation_level=None)
    restored.execute("PRAGMA journal_mode = WAL")
    restored.execute("CREATE TABLE stock (id integer PRIMARY KEY, qty text, note varchar(40))")
    restored.execute("INSERT INTO stock VALUES (1, 'many', 'z')")
    restored.close()
    reader = SqlReader(lite.system("stock", connections=1), lite.dialect)
    before = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    again = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    lite.db.close()
    for name in ("erp.db-wal", "erp.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "restored.db").replace(tmp_path / "erp.db")
    after = await reader.fetch(Ask("stock", ("id",), [(1,)]))
    await reader.close()
    assert before.server == again.server != ""
    assert after.server not in {"", before.server}
    assert first(after)["qty"] == "many"
    assert after.shape.columns[1].type.name == "string"
