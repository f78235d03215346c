"""A database that checks no encoding: `code_page` decodes its bytes, else one row is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from bridge.connector import Ask, Done, Effect, Shape
from bridge.model.encoded_text import EncodedText
from bridge.model.errors import RowError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from connectors.postgres import connector
from connectors.sql.engine import make_engine
from connectors.sql.write import ledger
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

ROWS = 4
#: Names in code page 1252, which is what this database's programs write.
NAMES = ["M\xfcller", "plain", "\u20ac 5", "caf\xe9"]


@pytest.fixture
def ascii_legacy(postgres: Postgres) -> Iterator[PostgresErp]:
    url = postgres.new_database()
    name = make_url(url).database
    postgres.drop_database(url)
    postgres.execute(
        f"CREATE DATABASE \"{name}\" ENCODING 'SQL_ASCII' TEMPLATE template0"
        " LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    erp = PostgresErp(postgres, url)
    erp.run("CREATE TABLE t (name varchar(20) PRIMARY KEY, note text, fixed char(8), tags text[])")
    erp.publish("t")
    yield erp
    erp.db.close()
    postgres.drop_database(url)


def insert(erp: PostgresErp) -> None:
    for name in NAMES:
        erp.db.execute(
            "INSERT INTO t SELECT v, v, v, ARRAY[v, 'x'] FROM convert_from(%s, 'SQL_ASCII') AS v",
            [name.encode("cp1252")],
        )


FIELDS = (
    FieldSpec("name", ("name",), code_page="cp1252"),
    FieldSpec("fixed", ("fixed",), code_page="cp1252"),
)


class CodePageTables:
    """What rows become, with `code_page` and without."""

    def __init__(self, described: Shape) -> None:
        decoded = EntitySpec("erp", "thing", "t", ("name",), FIELDS)
        self.decoded = EntityTable(decoded, entity_type(decoded, described), described)
        note = FieldSpec("note", ("note",))
        tags = FieldSpec("tags", ("tags",))
        plain = EntitySpec("erp", "thing", "t", ("name",), (*FIELDS[:1], note, tags))
        self.plain = EntityTable(plain, entity_type(plain, described), described)

    def rows(self, shape: Shape, rows: list[Any]) -> tuple[list[Any], list[str]]:
        """(name, fixed) of each row, and without `code_page` its note or why there is none; sorted."""
        decoded = [self.decoded.row(shape, raw).as_dict() for raw in rows]
        notes: list[str] = []
        for raw in rows:
            try:
                row = self.plain.row(shape, raw)
                notes.append(str((row.note, row.tags)))
            except RowError as error:
                notes.append(str(error).partition(": ")[2])
        return sorted((row["name"], row["fixed"]) for row in decoded), sorted(notes)


REFUSED = "text that isn't valid UTF-8; say the `code_page` of the column"
WANTED = (
    sorted((name, name.ljust(8)) for name in NAMES),
    sorted([str(("plain", ["plain", "x"])), *[REFUSED] * 3]),
)


@pytest.mark.parametrize("binary", [True, False])
async def test_one_byte_is_one_dead_letter_and_code_page_decodes_it(
    ascii_legacy: PostgresErp, binary: bool
) -> None:
    if not binary:
        ascii_legacy.run("CREATE TYPE pair AS (a int)", "ALTER TABLE t ADD p pair")
    system = ascii_legacy.system("t")
    read = CodePageTables((await connector.describe(system))["t"])
    async with open_source(system) as (source, _):
        insert(ascii_legacy)
        changes = await collect(source, ROWS)
        assert read.rows(changes[0].shape, [change.new for change in changes]) == WANTED
    snapshot = await connector.snapshot(system)
    rows, after = [], None
    while True:
        chunk = await snapshot.chunk("t", None, after, 1)
        rows += chunk.rows
        if chunk.last is None:
            break
        after = chunk.last
    assert read.rows(chunk.shape, rows) == WANTED
    where = {"name": EncodedText("caf\xe9".encode("cp1252"))}
    assert await snapshot.count("t", where) >= 0
    assert len((await snapshot.chunk("t", where, None, 9)).rows) == 1
    await snapshot.close()
    reader = await connector.reader(system)
    keys = [read.decoded.outward(("name",), (name,)) for name in NAMES]
    read_rows = await reader.fetch(Ask("t", ("name",), keys))
    assert read.rows(read_rows.shape, list(read_rows.rows)) == WANTED
    everything = await reader.fetch(Ask("t"))
    assert read.rows(everything.shape, list(everything.rows)) == WANTED
    await reader.close()


async def test_a_command_finds_and_changes_a_row_by_such_a_key(ascii_legacy: PostgresErp) -> None:
    insert(ascii_legacy)
    system = ascii_legacy.system("t", commands=True)
    engine = make_engine(system)
    ascii_legacy.run(ledger.create_sql(engine.dialect))
    engine.dispose()
    read = CodePageTables((await connector.describe(system))["t"])
    (key,) = read.decoded.outward(("name",), ("M\xfcller",))
    seen: list[Any] = []

    def guard(shape: Shape | None, row: Any) -> None:
        assert shape is not None
        seen.append(read.decoded.row(shape, row).as_dict())

    writer = await connector.writer(system)
    statement = "UPDATE t SET note = 'ö ' || :id WHERE name = :key"
    effect = Effect("bot:1", "d", statement, {"key": key, "id": "bot:1"}, "t", {"name": key}, guard)
    [outcome] = await writer.execute([effect])
    await writer.close()
    assert isinstance(outcome, Done), outcome
    assert outcome.rows == 1
    assert [row["name"] for row in seen] == ["M\xfcller"]
    with psycopg.connect(ascii_legacy.url, client_encoding="SQL_ASCII") as db:
        notes = db.execute("SELECT note FROM t WHERE note LIKE '%%bot%%'").fetchall()
    assert notes == [("ö bot:1".encode(),)]
