"""Conditions, orders, cursors and limits of a question, by the database, beside a look at each row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import Ask, Column, ColumnCondition, ColumnOrder, Shape
from bridge.connector.ask import OPERATORS
from bridge.kit.connector.ask_oracle import Row, right_rows
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.types import FieldType
from bridge.plan.steps import MISSING, Wire
from connectors.postgres.capture_dialect import POSTGRES
from connectors.sql.dialect import SqlDialect
from connectors.sql.dialects import dialect_of
from connectors.sql.read.ask_query import AskedTable, AskQuery
from connectors.sql.read.query import Identifiers
from connectors.sql.read.reader import SqlReader
from connectors.sql.sqlite.dialect import SQLITE
from tests.example_counts import examples

from .conftest import SqlDatabase

COLUMNS = ("no", "pos", "qty", "note", "price")
TABLE = (
    "CREATE TABLE lines (no varchar(10), pos integer, qty integer, note varchar(10),"
    " price numeric(20,4), PRIMARY KEY (no, pos))"
)
NUMBERS = [f"{number:04}" for number in range(6)]
NOTES = [None, "", "a", "ab", "b"]
PRICES = [None, Decimal("-1.5"), Decimal(0), Decimal("0.25"), Decimal("12345678.5")]
ROWS: list[Row] = [
    dict(zip(COLUMNS, (no, pos, number % 4 or None, NOTES[number % 5], PRICES[number % 5]),
             strict=True))
    for number, (no, pos) in enumerate((no, pos) for no in NUMBERS for pos in range(6))
]  # fmt: skip
POOLS: dict[str, Sequence[Any]] = {
    "no": [*NUMBERS, "9"],
    "pos": range(-1, 7),
    "qty": range(5),
    "note": [note for note in NOTES if note is not None],
    "price": [price for price in PRICES if price is not None],
}


NULLS: st.SearchStrategy[Literal["first", "last"]] = st.sampled_from(["first", "last"])


@st.composite
def conditions(draw: st.DrawFn) -> ColumnCondition:
    column = draw(st.sampled_from(COLUMNS))
    value = st.sampled_from(list(POOLS[column]))
    operator = draw(st.sampled_from(OPERATORS))
    if operator == "between":
        return ColumnCondition(column, operator, (draw(value), draw(value)))
    if operator == "in":
        return ColumnCondition(column, operator, tuple(draw(st.lists(value, max_size=4))))
    return ColumnCondition(column, operator, (draw(value),))


@st.composite
def questions(draw: st.DrawFn) -> Ask:
    columns = draw(st.sampled_from([(), ("no",), ("note",), ("qty",), ("pos", "no")]))
    keys: list[tuple[Any, ...]] = []
    if columns:
        one_key = st.tuples(*(st.sampled_from(list(POOLS[name])) for name in columns))
        keys = draw(st.lists(one_key, max_size=5, unique=True))
    first = draw(st.lists(st.sampled_from(COLUMNS[2:]), max_size=2, unique=True))
    last = draw(st.permutations(["no", "pos"]))
    order = tuple(ColumnOrder(name, draw(st.booleans()), draw(NULLS)) for name in (*first, *last))
    after = None
    if draw(st.booleans()):
        row = draw(st.sampled_from(ROWS))
        after = tuple(row[part.column] for part in order)
    return Ask(
        "lines",
        columns,
        keys,
        draw(st.none() | st.lists(st.sampled_from(COLUMNS), max_size=3).map(tuple)),
        tuple(draw(st.lists(conditions(), max_size=2))),
        order,
        draw(st.none() | st.integers(1, 4)) if columns else None,
        after,
        draw(st.none() | st.integers(1, 12)),
    )


def fill(erp_database: SqlDatabase) -> None:
    erp_database.run(TABLE)
    for row in ROWS:
        values = ", ".join("NULL" if value is None else repr(str(value)) for value in row.values())
        erp_database.run(f"INSERT INTO lines VALUES ({values})")


def dialect_of_reads(erp_database: SqlDatabase) -> SqlDialect:
    """The connector's, which knows the table's key."""
    return POSTGRES if erp_database.name == "postgres" else erp_database.dialect


def plain(row: Sequence[Any]) -> tuple[Any, ...]:
    """With decimals as such: SQLite has floats, which hold these exactly."""
    price = row[4]
    exact = price is None or price is MISSING
    return (*row[:4], price if exact else Decimal(str(price)))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened_runner:
        yield opened_runner


@pytest.mark.parametrize("other_form", [False, True])
def test_a_question_is_answered_as_by_a_look_at_each_row(
    erp_database: SqlDatabase, runner: asyncio.Runner, other_form: bool
) -> None:
    """The other form: without row values, LATERAL and NULLS LAST, as other databases have it."""
    fill(erp_database)
    dialect = dialect_of_reads(erp_database)
    if other_form:
        dialect = replace(dialect, row_compare=False, lateral=False, null_order=False)
    reader = SqlReader(erp_database.system("lines"), dialect)

    @settings(
        max_examples=examples(500),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(questions())
    def check(ask: Ask) -> None:
        answer = runner.run(reader.fetch(ask))
        needed = set(COLUMNS)
        if ask.fields is not None:
            needed = {*ask.fields, "no", "pos", *ask.columns, *(each.column for each in ask.order)}
        right = [
            tuple(row[name] if name in needed else MISSING for name in COLUMNS)
            for row in right_rows(ask, ROWS)
        ]
        assert [plain(row) for row in answer.rows] == right
        assert [column.name for column in answer.shape.columns] == list(COLUMNS)

    check()
    runner.run(reader.close())


async def test_pages_by_a_column_that_compares_without_case_have_each_row_once(
    erp_database: SqlDatabase,
) -> None:
    if erp_database.name == "sqlite":
        text_type = "text COLLATE NOCASE"
    else:
        erp_database.run(
            "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2',"
            " deterministic = false)"
        )
        text_type = "text COLLATE nocase"
    erp_database.run(f"CREATE TABLE names (id integer PRIMARY KEY, name {text_type})")
    names = ["b", "A", "a", "B", "a", "C", "A"]
    for number, name in enumerate(names):
        erp_database.run(f"INSERT INTO names VALUES ({number}, '{name}')")
    reader = SqlReader(erp_database.system("names"), dialect_of_reads(erp_database))
    by = (ColumnOrder("name"), ColumnOrder("id", descending=True))
    walked: list[tuple[Any, ...]] = []
    after = None
    while True:
        ask = Ask("names", order=by, after=after, limit=2)
        rows = (await reader.fetch(ask)).rows
        if not rows:
            break
        walked += rows
        after = (rows[-1][1], rows[-1][0])
    assert [row[0] for row in walked] == [6, 4, 2, 1, 3, 0, 5]

    keys = [("a",), ("A",), ("b",)]
    first = await reader.fetch(Ask("names", ("name",), keys, order=by, per_key=2))
    assert [row[0] for row in first.rows] == [6, 4, 3, 0]
    await reader.close()


async def test_decimals_are_compared_exactly(server: SqlDatabase) -> None:
    server.run(
        "CREATE TABLE sums (id integer PRIMARY KEY, total numeric(30,10))",
        "INSERT INTO sums VALUES (1, 12345678901234567890.0000000001),"
        " (2, 12345678901234567890.0000000002), (3, 12345678901234567890.0000000003)",
    )
    reader = SqlReader(server.system("sums"), POSTGRES)
    middle = Decimal("12345678901234567890.0000000002")
    for operator, ids in (("<", [1]), ("<=", [1, 2]), (">", [3]), (">=", [2, 3])):
        where = (ColumnCondition("total", operator, (middle,)),)  # type: ignore[arg-type]
        rows = (await reader.fetch(Ask("sums", where=where, order=(ColumnOrder("id"),)))).rows
        assert [row[0] for row in rows] == ids, operator
    by = (ColumnOrder("total"), ColumnOrder("id"))
    rows = (await reader.fetch(Ask("sums", order=by, after=(middle, 2)))).rows
    assert [row[0] for row in rows] == [3]
    await reader.close()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (Ask("lines", order=(ColumnOrder("qty"),), after=(1,)), "no, pos is missing"),
        (Ask("lines", order=(ColumnOrder("no"), ColumnOrder("pos")), after=("1",)),
         "the cursor has 1 values and the order 2 columns"),
        (Ask("lines", order=(ColumnOrder("no"), ColumnOrder("no"))), "names a column twice: no, no"),
        (Ask("lines", per_key=1), "a limit per key needs keys"),
        (Ask("lines", ("no",), [("1",)], per_key=0), "a limit per key of 0; it must be at least 1"),
        (Ask("lines", where=(ColumnCondition("qty", "between", (1,)),)),
         "column 'qty': 'between' takes 2 values, not 1"),
        (Ask("lines", where=(ColumnCondition("qty", "<", (None,)),)),
         "column 'qty': nothing compares with null by '<'"),
        (Ask("lines", where=(ColumnCondition("qty", "in", (1, None)),)),
         "column 'qty': nothing compares with null by 'in'"),
        (Ask("lines", order=(ColumnOrder("nope"),)), "no column 'nope'"),
        (Ask("lines", where=(ColumnCondition("nope", "<", (1,)),)), "no column 'nope'"),
    ],
)  # fmt: skip
async def test_what_means_nothing_is_refused(
    erp_database: SqlDatabase, ask: Ask, words: str
) -> None:
    fill(erp_database)
    reader = SqlReader(erp_database.system("lines"), dialect_of_reads(erp_database))
    with pytest.raises(Rejected, match=words):
        await reader.fetch(ask)
    assert len((await reader.fetch(Ask("lines"))).rows) == len(ROWS)
    await reader.close()


async def test_an_operator_that_is_none_is_refused_before_anything_is_asked(
    lite: SqlDatabase,
) -> None:
    fill(lite)
    reader = SqlReader(lite.system("lines"), SQLITE)
    evil = ColumnCondition("qty", "= 1 OR 1 =", (1,))  # type: ignore[arg-type]
    with pytest.raises(Rejected) as refused:
        await reader.fetch(Ask("lines", where=(evil,)))
    assert refused.value.code == "unsupported_query"
    await reader.close()


async def test_a_table_without_a_key_has_no_order(lite: SqlDatabase) -> None:
    lite.run("CREATE TABLE heap (a integer)")
    reader = SqlReader(lite.system("heap"), SQLITE)
    with pytest.raises(ConfigurationError, match="'heap' has no primary key"):
        await reader.fetch(Ask("heap", order=(ColumnOrder("a"),)))
    assert (await reader.fetch(Ask("heap"))).rows == []
    await reader.close()


async def test_a_column_that_came_or_went_meanwhile_is_seen_in_a_projection(
    erp_database: SqlDatabase,
) -> None:
    fill(erp_database)
    clock = count(step=100)
    reader = SqlReader(
        erp_database.system("lines"),
        dialect_of_reads(erp_database),
        monotonic=lambda: float(next(clock)),
    )
    ask = Ask("lines", ("no",), [("0001",)], ("qty",), order=(ColumnOrder("pos"),), limit=1)
    assert (await reader.fetch(ask)).rows == [("0001", 0, 2, MISSING, MISSING)]
    erp_database.run("ALTER TABLE lines DROP COLUMN note", "ALTER TABLE lines ADD extra integer")
    answer = await reader.fetch(ask)
    assert answer.rows == [("0001", 0, 2, MISSING, MISSING)]
    assert [column.name for column in answer.shape.columns][3:] == ["price", "extra"]
    erp_database.run("ALTER TABLE lines DROP COLUMN qty")
    assert (await reader.fetch(ask)).rows == [("0001", 0, MISSING, MISSING)]
    await reader.close()


def test_each_database_limits_the_rows_of_a_key_in_its_own_way() -> None:
    columns = [
        Column(name, native, FieldType("integer"), "int4", nullable=name == "b", key=name == "a")
        for name, native in (("a", "integer"), ("b", "bigint"))
    ]
    shape = Shape("t", tuple(columns), Wire.PYTHON)
    order = (ColumnOrder("b", descending=True), ColumnOrder("a"))
    ask = Ask("t", ("b",), [(1,)], order=order, per_key=2, limit=3)
    naming = Identifiers(lambda name: f'"{name}"')

    def text(name: str, *, lateral: bool = False) -> str:
        table = AskedTable(shape, order, 'r."a", r."b"')
        return AskQuery(dialect_of(name), naming, ask, table).build(lateral=lateral).text

    nulls = 'CASE WHEN r."b" IS NULL THEN 1 ELSE 0 END, r."b" DESC, r."a"'
    assert text("mssql") == (
        'SELECT r."a", r."b" FROM (SELECT r.*, ROW_NUMBER() OVER (PARTITION BY r."b" '
        f'ORDER BY {nulls}) AS bridge_rank FROM "t" AS r WHERE r."b" IN (:k0_0)) AS r '
        f"WHERE r.bridge_rank <= :bridge_per_key ORDER BY {nulls} "
        "OFFSET 0 ROWS FETCH NEXT :bridge_limit ROWS ONLY"
    )
    assert ' FROM "t" r WHERE ' in text("oracle")
    assert ") r WHERE r.bridge_rank" in text("oracle")
    by = 'ORDER BY r."b" DESC NULLS LAST, r."a"'
    assert text("postgresql", lateral=True) == (
        'SELECT r."a", r."b" FROM unnest(CAST(:k0 AS bigint[])) AS k(k0) CROSS JOIN LATERAL '
        f'(SELECT r.* FROM "t" AS r WHERE r."b" = k.k0 {by} LIMIT :bridge_per_key) AS r '
        f"{by} LIMIT :bridge_limit"
    )
