# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""Every built-in type, as a real server sends it: binary and text give the same, exact value."""

import math
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from random import Random
from types import ModuleType
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bridge.plan.postgres_output import double_text, single_text
from bridge.plan.steps import Wire
from tests.plan.plans import CAPTURED, Text, pgcopy, pgoutput, plan_of, read_change, shape
from tests.services.postgres import Postgres

ALL_TYPES: list[tuple[str, str, str, list[tuple[str, Any]]]] = [
    # SQL type, wire code, field type, (SQL literal, value in the log)
    ("boolean", "bool", "boolean", [("true", True), ("false", False)]),
    ("smallint", "int2", "integer", [("-32768", -32768), ("32767", 32767)]),
    ("integer", "int4", "integer", [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)]),
    (
        "bigint",
        "int8",
        "integer",
        [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)],
    ),
    ("oid", "oid", "integer", [("4294967295", 2**32 - 1)]),
    (
        "real",
        "float4",
        "float",
        [("0.1", struct.unpack("f", struct.pack("f", 0.1))[0]), ("'-Infinity'", -math.inf)],
    ),
    ("real", "float4", "double", [("0.5", 0.5)]),
    (
        "double precision",
        "float8",
        "double",
        [("0.1", 0.1), ("1e300", 1e300), ("'Infinity'", math.inf)],
    ),
    (
        "numeric(15,2)",
        "numeric",
        "decimal(15,2)",
        [
            ("0", Decimal("0.00")),
            ("-0.01", Decimal("-0.01")),
            ("9999999999999.99", Decimal("9999999999999.99")),
            ("10000", Decimal("10000.00")),
            ("100000000", Decimal("100000000.00")),
            ("0.1", Decimal("0.10")),
            ("-12345.6", Decimal("-12345.60")),
        ],
    ),
    (
        "numeric(30,10)",
        "numeric",
        "decimal(30,10)",
        [
            ("12345678901234567890.0123456789", Decimal("12345678901234567890.0123456789")),
            ("-0.0000000001", Decimal("-0.0000000001")),
        ],
    ),
    (
        "numeric(18,18)",
        "numeric",
        "decimal(18,18)",
        [("0.000000000000000001", Decimal("0.000000000000000001"))],
    ),
    (
        "numeric",
        "numeric",
        "string",
        [
            ("1.500", "1.500"),
            ("0", "0"),
            ("0.00001", "0.00001"),
            ("-123456789.000000010", "-123456789.000000010"),
            ("1e40", "1" + "0" * 40),
            ("'NaN'", "NaN"),
            ("'Infinity'", "Infinity"),
            ("'-Infinity'", "-Infinity"),
            ("10000", "10000"),
            ("0.0", "0.0"),
            ("1e-50", "0." + "0" * 49 + "1"),
        ],
    ),
    (
        "money",
        "money",
        "decimal(19,2)",
        [("'1234.56'", Decimal("1234.56")), ("'-0.01'", Decimal("-0.01"))],
    ),
    (
        "text",
        "text",
        "string",
        [("'häß \N{PILE OF POO} \"'''", "häß \N{PILE OF POO} \"'"), ("''", "")],
    ),
    ("varchar(10)", "varchar", "string", [("'abc '", "abc ")]),
    ("char(5)", "bpchar", "string", [("'ab'", "ab   ")]),
    ("name", "name", "string", [("'a_name'", "a_name")]),
    ('"char"', "char", "string", [("'x'", "x")]),
    ("xml", "xml", "string", [("'<a>1</a>'", "<a>1</a>")]),
    ("mood", "enum", "string", [("'so so'", "so so")]),
    ("postcode", "text", "string", [("'12345'", "12345")]),
    ("bytea", "bytea", "bytes", [("'\\x00ff5c'", b"\x00\xff\\"), ("''", b"")]),
    (
        "date",
        "date",
        "date",
        [
            ("'0001-01-01'", date.min),
            ("'9999-12-31'", date.max),
            ("'1969-12-31'", date(1969, 12, 31)),
            ("'infinity'", date.max),
            ("'-infinity'", date.min),
        ],
    ),
    ("time", "time", "time", [("'00:00'", time()), ("'23:59:59.999999'", time.max)]),
    (
        "timetz",
        "timetz",
        "string",
        [("'10:00:00.5+02'", "10:00:00.5+02"), ("'10:00-03:30'", "10:00:00-03:30")],
    ),
    (
        "timestamp",
        "timestamp",
        "local_timestamp",
        [
            ("'0001-01-01 00:00'", datetime.min),
            ("'9999-12-31 23:59:59.999999'", datetime.max),
            ("'1969-07-20 20:17:40.1'", datetime(1969, 7, 20, 20, 17, 40, 100000)),
            ("'infinity'", datetime.max),
            ("'-infinity'", datetime.min),
        ],
    ),
    (
        "timestamptz",
        "timestamptz",
        "timestamp",
        [
            ("'2024-02-29 12:00+02'", datetime(2024, 2, 29, 10, tzinfo=UTC)),
            ("'infinity'", datetime.max.replace(tzinfo=UTC)),
            ("'1800-01-01 00:00Z'", datetime(1800, 1, 1, tzinfo=UTC)),
        ],
    ),
    (
        "interval",
        "interval",
        "string",
        [
            ("'1 year 2 months 3 days 04:05:06.789'", "P1Y2M3DT4H5M6.789S"),
            ("'-1 day 02:00'", "P-1DT2H"),
            ("'0'", "PT0S"),
            ("'-00:00:00.5'", "PT-0.5S"),
            ("'-13 months'", "P-1Y-1M"),
            ("'100 hours'", "PT100H"),
        ],
    ),
    (
        "uuid",
        "uuid",
        "uuid",
        [("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"))],
    ),
    ("json", "json", "json", [('\'{"b":  1, "a": [null]}\'', '{"b":  1, "a": [null]}')]),
    ("jsonb", "jsonb", "json", [('\'{"b":  1, "a": [null]}\'', '{"a": [null], "b": 1}')]),
    (
        "inet",
        "inet",
        "string",
        [
            ("'192.168.0.1'", "192.168.0.1"),
            ("'10.1.2.3/8'", "10.1.2.3/8"),
            ("'2001:db8::1'", "2001:db8::1"),
        ],
    ),
    (
        "cidr",
        "cidr",
        "string",
        [("'10.0.0.0/8'", "10.0.0.0/8"), ("'192.168.0.1/32'", "192.168.0.1/32")],
    ),
    ("macaddr", "macaddr", "string", [("'08:00:2b:01:02:03'", "08:00:2b:01:02:03")]),
    ("macaddr8", "macaddr8", "string", [("'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05")]),
    ("bit(5)", "bit", "string", [("B'10101'", "10101")]),
    ("varbit", "varbit", "string", [("B'1010101011'", "1010101011"), ("B''", "")]),
    ("point", "point", "string", [("'(1.5,-2)'", "(1.5,-2)")]),
    ("lseg", "lseg", "string", [("'[(1,2),(3,4)]'", "[(1,2),(3,4)]")]),
    ("box", "box", "string", [("'(3,4),(1,2)'", "(3,4),(1,2)")]),
    (
        "path",
        "path",
        "string",
        [("'[(1,2),(3,4)]'", "[(1,2),(3,4)]"), ("'((1,2),(3,4))'", "((1,2),(3,4))")],
    ),
    ("polygon", "polygon", "string", [("'((1,2),(3,4),(5,0.1))'", "((1,2),(3,4),(5,0.1))")]),
    ("line", "line", "string", [("'{1,2,3}'", "{1,2,3}")]),
    ("circle", "circle", "string", [("'<(1,2),3>'", "<(1,2),3>")]),
    (
        "tsvector",
        "tsvector",
        "string",
        [("'fat:2A cat:3 rat:1B,4 it''s'", "'cat':3 'fat':2A 'it''s' 'rat':1B,4")],
    ),
    ("pg_lsn", "pg_lsn", "string", [("'16/B374D848'", "16/B374D848")]),
    (
        "integer[]",
        "array(int4)",
        "array(integer)",
        [("'{1,NULL,-3}'", [1, None, -3]), ("'{}'", []), ("'[0:1]={7,8}'", [7, 8])],
    ),
    (
        "text[]",
        "array(text)",
        "array(string)",
        [
            (
                "ARRAY['a','NULL',NULL,'','x,y','q\"\\','{}']",
                ["a", "NULL", None, "", "x,y", 'q"\\', "{}"],
            )
        ],
    ),
    (
        "numeric(15,2)[]",
        "array(numeric)",
        "array(decimal(15,2))",
        [("'{1.5,NULL}'", [Decimal("1.50"), None])],
    ),
    ("boolean[]", "array(bool)", "array(boolean)", [("'{t,f}'", [True, False])]),
    (
        "date[]",
        "array(date)",
        "array(date)",
        [("'{2024-01-31,infinity}'", [date(2024, 1, 31), date.max])],
    ),
    (
        "timestamptz[]",
        "array(timestamptz)",
        "array(timestamp)",
        [("'{2024-01-31 00:00+00}'", [datetime(2024, 1, 31, tzinfo=UTC)])],
    ),
    (
        "uuid[]",
        "array(uuid)",
        "array(uuid)",
        [
            (
                "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
                [UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")],
            )
        ],
    ),
    ("bytea[]", "array(bytea)", "array(bytes)", [("ARRAY['\\x0001'::bytea]", [b"\0\1"])]),
    ("jsonb[]", "array(jsonb)", "array(json)", [("ARRAY['{\"a\":1}'::jsonb]", ['{"a": 1}'])]),
    ("mood[]", "array(enum)", "array(string)", [("'{ok,\"so so\"}'", ["ok", "so so"])]),
    ("integer[][]", "array(int4)", "string", [("'{{1,2},{3,NULL}}'", "{{1,2},{3,NULL}}")]),
    (
        "text[][]",
        "array(text)",
        "string",
        [("ARRAY[['a b','NULL'],['',NULL]]", '{{"a b","NULL"},{"",NULL}}')],
    ),
    (
        "int4range",
        "range(int4)",
        "string",
        [("'[1,10)'", "[1,10)"), ("'empty'", "empty"), ("'(,5]'", "(,6)")],
    ),
    ("numrange", "range(numeric)", "string", [("'(1.50,2]'", "(1.50,2]")]),
    (
        "daterange",
        "range(date)",
        "string",
        [
            ("'[2024-01-01,2024-02-01)'", "[2024-01-01,2024-02-01)"),
            ("'[2024-01-01,infinity)'", "[2024-01-01,infinity)"),
        ],
    ),
    (
        "tsrange",
        "range(timestamp)",
        "string",
        [
            (
                "'[2024-01-01 10:00,2024-01-01 10:00:00.5)'",
                '["2024-01-01 10:00:00","2024-01-01 10:00:00.5")',
            )
        ],
    ),
    (
        "tstzrange",
        "range(timestamptz)",
        "string",
        [("'[2024-01-01 10:00+00,)'", '["2024-01-01 10:00:00+00",)')],
    ),
    (
        "int4multirange",
        "multirange(int4)",
        "string",
        [("'{[1,3),[5,7)}'", "{[1,3),[5,7)}"), ("'{}'", "{}")],
    ),
]


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('ok', 'so so')")
        connection.execute("CREATE DOMAIN postcode AS text CHECK (length(value) = 5)")
        connection.execute("SET timezone = 'UTC'")
        yield connection
    postgres.drop_database(url)


def copied(connection: psycopg.Connection[Any], query: str) -> list[bytes]:
    """The rows of COPY BINARY, without its header and trailer."""
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(bytes(part) for part in copy)
    assert data[:11] == b"PGCOPY\n\xff\r\n\0"
    at, rows = 19 + int.from_bytes(data[15:19], "big"), []
    while data[at : at + 2] != b"\xff\xff":
        begin = at
        columns = int.from_bytes(data[at : at + 2], "big")
        at += 2
        for _ in range(columns):
            size = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4 + max(size, 0)
        rows.append(data[begin:at])
    return rows


@pytest.mark.parametrize(
    ("sql", "code", "kind", "values"),
    ALL_TYPES,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_type_comes_through_exactly(  # noqa: PLR0917 - pytest gives them by name
    server: psycopg.Connection[Any],
    compiled: ModuleType,
    interpreted: ModuleType,
    sql: str,
    code: str,
    kind: str,
    values: list[tuple[str, Any]],
) -> None:
    columns = [("id", "int4", "integer"), ("c", code, kind)]
    for literal, wanted in values:
        query = f"SELECT 1::int4, ({literal})::{sql}"
        [row] = copied(server, query)
        content = row[2 + 8 + 4 :]
        variants: list[tuple[Wire, bytes]] = [
            (Wire.PGCOPY, row),
            (Wire.PGOUTPUT, pgoutput([struct.pack(">i", 1), content])),
        ]
        for style in ("iso_8601", "postgres"):
            server.execute(f"SET intervalstyle = '{style}'")
            [(server_text,)] = server.execute(f"SELECT format('%s', ({literal})::{sql})").fetchall()
            variants.append((Wire.PGOUTPUT, pgoutput([Text("1"), Text(server_text)])))
        for wire, raw in variants:
            entity, plan = plan_of(shape(columns, wire))
            for module in (compiled, interpreted):
                out: list[Any] = []
                failures = module.RowEncoder(plan, "acme", 1, 2, 3).rows(
                    [raw], 1, 2, 3, CAPTURED, out
                )
                assert failures == [], (literal, wire)
                written_value = read_change(entity, out[0][1])["after"]["c"]
                assert written_value == wanted, (literal, wire, raw)
                assert type(written_value) is type(wanted)


def test_floats_are_written_as_the_server_writes_them(server: psycopg.Connection[Any]) -> None:
    """Their text stands in points, ranges and arrays of several dimensions."""
    chance = Random(8)  # noqa: S311 - the same values in each run
    doubles = [struct.unpack("d", chance.randbytes(8))[0] for _ in range(2000)]
    doubles += [2.0**power * sign for power in range(-1074, 1024, 7) for sign in (1, -1)]
    doubles += [float(chance.randrange(10**14, 10**18)) for _ in range(1000)]
    singles = [struct.unpack("f", chance.randbytes(4))[0] for _ in range(2000)]
    singles += [2.0**power for power in range(-149, 128)]
    singles += [float(chance.randrange(10**5, 10**10)) for _ in range(500)]
    singles = [struct.unpack("f", struct.pack("f", value))[0] for value in singles]
    for kind, values, write in (("float8", doubles, double_text), ("float4", singles, single_text)):
        server_rows = server.execute(f"SELECT unnest(%s::{kind}[])::text", [values]).fetchall()
        assert [write(value) for value in values] == [text for (text,) in server_rows]


def test_not_a_number_comes_through_in_a_double(
    server: psycopg.Connection[Any], form: ModuleType
) -> None:
    [row] = copied(server, "SELECT 1::int4, 'NaN'::float8")
    entity, plan = plan_of(
        shape([("id", "int4", "integer"), ("c", "float8", "double")], Wire.PGCOPY)
    )
    out: list[Any] = []
    assert form.RowEncoder(plan, "acme", 1, 2, 3).rows([row], 1, 2, 3, CAPTURED, out) == []
    assert math.isnan(read_change(entity, out[0][1])["after"]["c"])


@pytest.mark.parametrize(
    ("sql", "code", "kind"),
    [
        ("'0044-03-15 BC'::date", "date", "date"),
        ("'10000-01-01'::date", "date", "date"),
        ("'20000-01-01'::timestamp", "timestamp", "local_timestamp"),
        ("'0001-12-31 BC'::timestamptz", "timestamptz", "timestamp"),
        ("'24:00'::time", "time", "time"),
        ("'NaN'::numeric(9,2)", "numeric", "decimal(9,2)"),
        ("'{{1},{2}}'::int[]", "array(int4)", "array(integer)"),
    ],
)
def test_what_has_no_place_in_the_log_is_an_error_in_both_forms(
    server: psycopg.Connection[Any], form: ModuleType, sql: str, code: str, kind: str
) -> None:
    [row] = copied(server, f"SELECT 1::int4, {sql}")
    [(server_text,)] = server.execute(f"SELECT format('%s', {sql})").fetchall()
    columns = [("id", "int4", "integer"), ("c", code, kind)]
    for wire, raw in (
        (Wire.PGCOPY, row),
        (Wire.PGOUTPUT, pgoutput([Text("1"), Text(server_text)])),
    ):
        _, plan = plan_of(shape(columns, wire))
        out: list[Any] = []
        [failure] = form.RowEncoder(plan, "acme", 1, 2, 3).rows([raw], 1, 2, 3, CAPTURED, out)
        assert out == []
        assert failure.error.column == "c"


@pytest.mark.parametrize(
    "server_text", ["-12,34 €", "12.34", "1.234,00 €", "￥1,234", "$12.3", "($1.00)"]
)
def test_money_in_another_countrys_form_is_an_error_and_never_another_amount(
    form: ModuleType, server_text: str
) -> None:
    columns = [("id", "int4", "integer"), ("c", "money", "decimal(19,2)")]
    _, plan = plan_of(shape(columns, Wire.PGOUTPUT))
    out: list[Any] = []
    raw = pgoutput([Text("1"), Text(server_text)])
    [failure] = form.RowEncoder(plan, "acme", 1, 2, 3).rows([raw], 1, 2, 3, CAPTURED, out)
    assert out == []
    assert failure.error.column == "c"


def test_an_unknown_type_keeps_its_bytes_in_hexadecimal(form: ModuleType) -> None:
    entity, plan = plan_of(
        shape([("id", "int4", "integer"), ("c", "unknown", "string")], Wire.PGCOPY)
    )
    out: list[Any] = []
    raw = pgcopy([struct.pack(">i", 1), b"\x01\xff"])
    assert form.RowEncoder(plan, "acme", 1, 2, 3).rows([raw], 1, 2, 3, CAPTURED, out) == []
    assert read_change(entity, out[0][1])["after"]["c"] == "\\x01ff"
