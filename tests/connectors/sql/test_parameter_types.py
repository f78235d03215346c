"""Arguments are bound by their declared type, whatever value they have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from bridge.connector import Done, Effect
from bridge.model.types import FieldType
from connectors.sql.write.writer import SqlWriter

from .conftest import SqlDatabase

INTEGER, STRING, JSON = FieldType("integer"), FieldType("string"), FieldType("json")
DECIMAL, DOUBLE = FieldType("decimal", 9, 2), FieldType("double")
NUMBERS = {"a": INTEGER, "b": INTEGER}


@pytest.fixture
def typed(server: SqlDatabase) -> SqlDatabase:
    server.run(
        "CREATE TYPE mood AS ENUM ('ok', 'sad')",
        "CREATE TABLE t (id int PRIMARY KEY, small int2, big int8, note varchar(40), m mood,"
        " day date, doc jsonb, n numeric, r real)",
        "INSERT INTO t VALUES (1, 7, 7, 'n', 'ok', '2026-01-31', '{}', 1, 0.1)",
        "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n'",
    )
    server.make_ledger()
    return server


Case = tuple[str, Mapping[str, FieldType], Mapping[str, Any]]


async def run(erp_database: SqlDatabase, cases: Iterable[Case]) -> list[Any]:
    """What each statement returned, by one writer, each twice: the second time it is known."""
    writer = SqlWriter(erp_database.system("t"), erp_database.dialect)
    effects = [
        Effect(
            f"bot:{at}",
            "d",
            statement,
            {"id": "bot:1", "key": 1, **arguments},
            "t",
            {"id": 1},
            types=types,
        )
        for at, (statement, types, arguments) in enumerate(case for case in cases for _ in range(2))
    ]
    outcomes = await writer.execute(effects)
    await writer.close()
    results = [
        list(json.loads(outcome.result or "[{}]")[0].values())
        if isinstance(outcome, Done)
        else str(outcome).partition(": ")[2]
        for outcome in outcomes
    ]
    assert results[::2] == results[1::2]
    return results[::2]


EXPRESSIONS: list[tuple[str, Mapping[str, FieldType], Mapping[str, Any], Any]] = [
    (":a * :b", NUMBERS, {"a": 200, "b": 200}, 40_000),
    (":a * :b", NUMBERS, {"a": 3_000_000_000, "b": 2}, 6_000_000_000),
    (":a + :b", NUMBERS, {"a": 1, "b": None}, None),
    ("concat('x', :s)", {"s": STRING}, {"s": "y"}, "xy"),
    ("concat('x', :s, :u)", {"s": STRING, "u": STRING}, {"s": None, "u": "z"}, "xz"),
    ("concat('x', :id)", {}, {}, "xbot:1"),
    ("concat(:key, 'x')", {}, {}, "1x"),
    ("coalesce(:s, :s)", {"s": STRING}, {"s": None}, None),
    ("(day + :a)::text", {"a": INTEGER}, {"a": 1}, "2026-02-01"),
    ("twice(:a)", {"a": INTEGER}, {"a": 40_000}, 80_000),
    ("left(note || :s, :a)", {"a": INTEGER, "s": STRING}, {"a": 2, "s": "x"}, "nx"),
    ("m = :s", {"s": STRING}, {"s": "ok"}, True),
    ("day = :s", {"s": STRING}, {"s": "2026-01-31"}, True),
    ("concat(m = :s, :u)", {"s": STRING, "u": STRING}, {"s": "ok", "u": "x"}, "tx"),
    ("jsonb_typeof(:j)", {"j": JSON}, {"j": "[1]"}, "array"),
    (":j ->> 'a'", {"j": JSON}, {"j": '{"a": "b"}'}, "b"),
    ("n * :d", {"d": DECIMAL}, {"d": Decimal("1.50")}, "1.50"),
    ("pg_typeof(:d)::text", {"d": DECIMAL}, {"d": None}, "numeric"),
    ("pg_typeof(:d)::text", {"d": DOUBLE}, {"d": 1.0}, "double precision"),
    ("r = :d", {"d": FieldType("float")}, {"d": 0.1}, True),
    ("id = ANY(:l)", {"l": FieldType("array", item=INTEGER)}, {"l": [1, 70_000]}, True),
    ("'b' = ANY(:l)", {"l": FieldType("array", item=STRING)}, {"l": ["a", "b"]}, True),
    ("small + :a", {"a": INTEGER}, {"a": 32_767}, 32_774),
]


async def test_a_parameter_has_its_declared_type(typed: SqlDatabase) -> None:
    cases = [
        (f"UPDATE t SET big = big WHERE id = :key RETURNING {expression}", types, values)
        for expression, types, values, _ in EXPRESSIONS
    ]
    results = await run(typed, cases)
    by_expression = zip((expression for expression, *_ in EXPRESSIONS), results, strict=True)
    assert list(by_expression) == [
        (expression, [wanted]) for expression, _, _, wanted in EXPRESSIONS
    ]


async def test_a_refusal_names_the_reason_that_is_no_matter_of_types_and_the_rest_goes_on(
    typed: SqlDatabase,
) -> None:
    small = "UPDATE t SET small = :a WHERE id = :key RETURNING small"
    nothing = "UPDATE t SET big = nothing(:a) WHERE id = :key"
    outcomes = await run(
        typed,
        [
            (small, NUMBERS, {"a": 40_000}),
            (nothing, NUMBERS, {"a": 1}),
            ("UPDATE t SET id = length(left(NULL, :a)) WHERE id = :key", NUMBERS, {"a": 1}),
            (small, NUMBERS, {"a": 4}),
        ],
    )
    assert outcomes == [
        "smallint out of range",
        "function nothing(bigint) does not exist",
        # The form that the server took is the one that tells the reason.
        'null value in column "id" of relation "t" violates not-null constraint',
        [4],
    ]


async def test_sqlite_binds_what_it_is_given(lite: SqlDatabase) -> None:
    lite.run("CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT)", "INSERT INTO t VALUES (1, 'n')")
    lite.make_ledger()
    statement = "UPDATE t SET note = 'x' || :s WHERE id = :key RETURNING :a * :b, note"
    types = {**NUMBERS, "s": STRING}
    [row] = await run(lite, [(statement, types, {"a": 200, "b": 200, "s": "y"})])
    assert row == [40_000, "xy"]
