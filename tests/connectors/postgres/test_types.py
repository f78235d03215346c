"""Every built-in type that a business table has: its field type, and that a change, the same
change told as text, a snapshot row and a row that was read are the same record.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.connector import Ask, Shape
from bridge.model.specs import EntitySpec
from bridge.model.types import FieldType
from bridge.plan.entity_type import entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.make_plan import make_plan
from connectors.postgres import connector
from connectors.postgres.catalog.types import TypeRow, decode, missing, numeric_type
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source

#: Column type: its field type, and values as SQL.
TYPES: dict[str, tuple[str, list[str]]] = {
    "boolean": ("boolean", ["true", "false"]),
    "smallint": ("integer", ["-32768", "7"]),
    "integer": ("integer", ["-2147483648", "7"]),
    "bigint": ("integer", ["9223372036854775807", "0"]),
    "oid": ("integer", ["4294967295", "1"]),
    "real": ("float", ["'NaN'", "1.5"]),
    "double precision": ("double", ["'-Infinity'", "0.1"]),
    "numeric(15,2)": ("decimal(15,2)", ["9999999999999.99", "-0.01"]),
    "numeric(3,-2)": ("decimal(5,0)", ["12345", "-100"]),
    "numeric(2,4)": ("decimal(4,4)", ["0.0099", "0"]),
    "numeric": ("string", ["1e30", "'NaN'"]),
    "money": ("decimal(19,2)", ["'-1234.50'", "'92233720368547758.07'"]),
    "text": ("string", ["'hällo \\ \"x\" '", "''"]),
    "varchar(10)": ("string", ["'abc'", "'x y'"]),
    "char(5)": ("string", ["'ab'", "''"]),
    "name": ("string", ["'n'", "'m'"]),
    '"char"': ("string", ["'c'", "'d'"]),
    "bytea": ("bytes", ["'\\x00ff'", "''"]),
    "date": ("date", ["'2024-02-29'", "'infinity'"]),
    "time": ("time", ["'23:59:59.999999'", "'00:00'"]),
    "timetz": ("string", ["'10:00:00.5+05:30'", "'10:00-08'"]),
    "timestamp": ("local_timestamp", ["'2024-02-29 12:00:00.000001'", "'-infinity'"]),
    "timestamptz": ("timestamp", ["'2024-02-29 12:00:00.5+02'", "'infinity'"]),
    "interval": ("string", ["'1 year 2 mons -3 days 04:05:06.789'", "'0'"]),
    "uuid": ("uuid", ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'" + "0" * 32 + "'"]),
    "json": ("json", ['\'{"b": 1,  "a": [1.0, null]}\'', "'3'"]),
    "jsonb": ("json", ['\'{"b": 1,  "a": [1.0, null]}\'', "'\"x\"'"]),
    "xml": ("string", ["'<a>1</a>'", "'<b/>'"]),
    "inet": ("string", ["'192.168.0.1/24'", "'::1'"]),
    "cidr": ("string", ["'10.0.0.0/8'", "'2001:db8::/32'"]),
    "macaddr": ("string", ["'08:00:2b:01:02:03'", "'00:00:00:00:00:00'"]),
    "bit(3)": ("string", ["B'101'", "B'000'"]),
    "varbit": ("string", ["B'1010101010'", "B''"]),
    "int4range": ("string", ["'[1,10)'", "'empty'"]),
    "numrange": ("string", ["'(1.50,)'", "'[0,0]'"]),
    "daterange": ("string", ["'[2024-01-01,2024-02-01)'", "'(,infinity)'"]),
    "tstzrange": ("string", ["'[2024-01-01 00:00+02,)'", "'empty'"]),
    "int8multirange": ("string", ["'{[1,3),[7,9)}'", "'{}'"]),
    "point": ("string", ["'(1.5,-2)'", "'(0,0)'"]),
    "tsvector": ("string", ["'a:1A fat:2,4'", "''"]),
    "pg_lsn": ("string", ["'16/B374D848'", "'0/0'"]),
    "integer[]": ("array(integer)", ["'{1,NULL,-3}'", "'{}'"]),
    "text[]": ("array(string)", ['\'{a,"b,c","",NULL,"NULL","q\\"\\\\"}\'', "'{}'"]),
    "numeric(7,2)[]": ("array(decimal(7,2))", ["'{1.5,2}'", "'{NULL}'"]),
    "timestamptz[]": ("array(timestamp)", ["'{2024-01-01 00:00+01}'", "'{}'"]),
    "mood": ("string", ["'ok'", "'sad'"]),
    "mood[]": ("array(string)", ["'{ok,NULL}'", "'{}'"]),
    "price": ("decimal(9,3)", ["1.5", "-2"]),
    "price_of_price": ("decimal(9,3)", ["1.5", "-2"]),
    "email": ("string", ["'a@b'", "''"]),
}
#: Types without a binary form that the plan decodes: told as text.
TEXT_ONLY: dict[str, tuple[str, list[str]]] = {
    "pair": ("string", ["ROW(1, 'a b')", "ROW(NULL, NULL)"]),
    "pair[]": ("array(string)", ["ARRAY[ROW(1, 'a,b')]::pair[]", "'{}'"]),
    "tsquery": ("string", ["'fat & rat'", "''"]),
    "jsonpath": ("string", ["'$.a'", "'$'"]),
}
CREATE_TYPES = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN price AS numeric(9,3)",
    "CREATE DOMAIN price_of_price AS price CHECK (VALUE < 100)",
    "CREATE DOMAIN email AS text",
    "CREATE TYPE pair AS (a int, b text)",
)


def table(types: dict[str, tuple[str, list[str]]]) -> list[str]:
    columns = ", ".join(f"c{at} {name}" for at, name in enumerate(types))
    values = [", ".join(choices[index] for _, choices in types.values()) for index in range(2)]
    return [
        f"CREATE TABLE t (id int PRIMARY KEY, {columns})",
        f"INSERT INTO t VALUES (1, {values[0]}), (2, {values[1]})",
        "INSERT INTO t VALUES (3)",
    ]


def executor(described: Shape, shape: Shape) -> RowEncoder:
    spec = EntitySpec("erp", "thing", "t")
    entity = entity_type(spec, described)
    return RowEncoder(make_plan(spec, entity, shape), "acme", 1, 2, 1)


async def every_way(erp: PostgresErp, *, binary: bool) -> tuple[Shape, list[list[bytes]]]:
    """The table's rows as records: told by the stream, by a snapshot and by the Reader."""
    create, *inserts = table(TYPES if binary else TYPES | TEXT_ONLY)
    erp.run(*CREATE_TYPES, create)
    erp.publish("t")
    system = erp.system("t")
    described = (await connector.describe(system))["t"]
    async with open_source(system) as (source, _):
        erp.run(*inserts)
        changes = await collect(source, 3)
        assert (b"b" in {change.new[2:3] for change in changes}) is binary
    taken = await connector.snapshot(system)
    chunk = await taken.chunk("t", None, None, 10)
    await taken.close()
    reader = await connector.reader(system)
    read_rows = await reader.fetch(Ask("t", ("id",), [(1,), (2,), (3,)]))
    await reader.close()
    # Only the catalogue knows collations.
    columns = [replace(column, exact_text=False) for column in described.columns]
    assert [*changes[0].shape.columns] == columns
    assert [replace(column, exact_text=False) for column in chunk.shape.columns] == columns
    stream = executor(described, changes[0].shape)
    copied = executor(described, chunk.shape)
    looked_up = executor(described, read_rows.shape)
    return described, [
        [stream.row(change.new) for change in changes],
        [copied.row(raw) for raw in chunk.rows],
        [looked_up.row(raw) for raw in sorted(read_rows.rows, key=lambda row: row[0])],
    ]


@pytest.mark.parametrize("binary", [True, False])
async def test_a_row_is_the_same_record_whichever_way_it_came(
    erp: PostgresErp, binary: bool
) -> None:
    described, (streamed, copied, looked_up) = await every_way(erp, binary=binary)
    expected = {**TYPES, **({} if binary else TEXT_ONLY)}
    type_names = [str(column.type) for column in described.columns[1:]]
    assert type_names == [kind for kind, _ in expected.values()]
    assert streamed == copied
    assert streamed == looked_up


async def test_text_and_binary_streams_give_the_same_records(erp: PostgresErp) -> None:
    erp.run(*CREATE_TYPES, *table(TYPES)[:1])
    erp.publish("t")
    system = erp.system("t")
    described = (await connector.describe(system))["t"]
    async with open_source(system) as (source, begin):
        erp.run(*table(TYPES)[1:])
        changes = await collect(source, 3)
        binary = [executor(described, change.shape).row(change.new) for change in changes]
    # A column of a type without binary form turns the stream to text from the beginning.
    erp.run("ALTER TABLE t ADD p pair")
    async with open_source(system, begin) as (source, _):
        changes = await collect(source, 3)
    assert {change.new[2:3] for change in changes} == {b"t"}
    text = [executor(described, change.shape).row(change.new) for change in changes]
    assert text == binary


def test_numeric_types_are_decimals_of_their_precision_and_scale() -> None:
    assert numeric_type(-1) == FieldType("string")
    assert numeric_type(((15 << 16) | 2) + 4) == FieldType("decimal", 15, 2)
    assert numeric_type(((3 << 16) | (-2 & 0x7FF)) + 4) == FieldType("decimal", 5, 0)
    assert numeric_type(((2 << 16) | 4) + 4) == FieldType("decimal", 4, 4)
    assert numeric_type(((1000 << 16) | (-2 & 0x7FF)) + 4) == FieldType("string")


def test_types_of_the_users_own_that_only_share_a_name_are_told_as_text() -> None:
    rows = {1: TypeRow(1, "public", "int4", "b"), 2: TypeRow(2, "public", "d", "d", base=9)}
    assert not decode(1, -1, rows).binary
    assert not decode(2, -1, rows).binary
    assert missing(rows, {1, 2}) == {9}
    loop = {3: TypeRow(3, "public", "d", "d", base=3)}
    assert not decode(3, -1, loop).binary
