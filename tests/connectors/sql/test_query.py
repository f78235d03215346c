"""Databases without row values or arrays get the same rows by other text."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Ask, TableUse
from connectors.sql.dialect import SqlDialect
from connectors.sql.dialects import dialect_of
from connectors.sql.read.key_values import pack_value, unpack_value
from connectors.sql.read.query import Identifiers, padded, rows_where, sorts_after
from connectors.sql.read.reader import SqlReader
from connectors.sql.read.snapshot import SqlSnapshot
from connectors.sql.sqlite.dialect import SQLITE

from .conftest import SqlDatabase

FORMS = [
    SQLITE,
    replace(SQLITE, lookup="in"),
    replace(SQLITE, lookup="or", row_compare=False),
    replace(SQLITE, lookup="or"),
]


def filled(erp_database: SqlDatabase) -> list[tuple[Any, ...]]:
    erp_database.run("CREATE TABLE t (a, b, c, PRIMARY KEY (a, b))")
    keys = [None, -1, 2, 10**18, 0.5, "", "A", "a", "\u00e9", b"", b"\x00"]
    for number, (a, b) in enumerate(itertools.product(keys[1:], keys[1:])):
        erp_database.db.execute("INSERT INTO t VALUES (?, ?, ?)", (a, b, number))
    erp_database.db.execute("INSERT INTO t VALUES (NULL, 1, 1)")
    return erp_database.rows("SELECT * FROM t ORDER BY a, b")


@pytest.mark.parametrize("dialect", FORMS)
async def test_lookups_by_two_columns_find_the_same_rows(
    lite: SqlDatabase, dialect: SqlDialect
) -> None:
    rows = filled(lite)
    reader = SqlReader(lite.system("t"), dialect)
    keys = [(row[0], row[1]) for row in rows[1:20:3]]
    if dialect.lookup == "in":
        fetched = (await reader.fetch(Ask("t", ("a",), [(key[0],) for key in keys]))).rows
        wanted = [row for row in rows if row[0] in {key[0] for key in keys}]
    else:
        fetched = (await reader.fetch(Ask("t", ("a", "b"), keys))).rows
        wanted = rows[1:20:3]
    await reader.close()
    assert sorted(fetched, key=repr) == sorted(wanted, key=repr)


@pytest.mark.parametrize("dialect", FORMS)
@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_chunks_walk_keys_of_every_kind_in_order(
    lite: SqlDatabase, dialect: SqlDialect, limit: int
) -> None:
    """SQLite's keys may be of several types, and null."""
    rows = filled(lite)
    snapshot = SqlSnapshot(lite.system(TableUse("t")), dialect)
    walked: list[Any] = []
    after = None
    while True:
        chunk = await snapshot.chunk("t", None, after, limit)
        walked += chunk.rows
        after = chunk.last
        if after is None:
            break
    await snapshot.close()
    assert walked == rows


@given(st.integers(1, 300))
def test_few_numbers_of_keys_are_ever_asked_for(count: int) -> None:
    filled_up = padded([(number,) for number in range(count)])
    assert set(filled_up) == {(number,) for number in range(count)}
    assert len(filled_up) & (len(filled_up) - 1) == 0
    assert len(filled_up) < 2 * count or count == 1


@given(
    st.one_of(
        st.none(), st.text(), st.binary(), st.integers(), st.booleans(), st.floats(allow_nan=False),
        st.decimals(allow_nan=False), st.datetimes(), st.dates(), st.times(), st.uuids(),
    )
)  # fmt: skip
def test_a_key_value_comes_back_from_json_with_its_type(value: Any) -> None:
    back = unpack_value(pack_value(value))
    assert (type(back), back) == (type(value), value)


def test_each_dialect_says_limits_and_names_its_own_way() -> None:
    naming = Identifiers(lambda name: f'"{name}"')
    texts = {
        name: rows_where(dialect_of(name), naming, "s.t", [], order=["k"], limit=5).text
        for name in ("oracle", "mssql", "mysql", "unheard_of")
    }
    assert texts == {
        "oracle": 'SELECT r.* FROM "s"."t" r ORDER BY r."k" FETCH FIRST :bridge_limit ROWS ONLY',
        "mssql": 'SELECT r.* FROM "s"."t" AS r ORDER BY r."k" '
        "OFFSET 0 ROWS FETCH NEXT :bridge_limit ROWS ONLY",
        "mysql": 'SELECT r.* FROM "s"."t" AS r ORDER BY r."k" LIMIT :bridge_limit',
        "unheard_of": 'SELECT r.* FROM "s"."t" AS r ORDER BY r."k" LIMIT :bridge_limit',
    }
    assert sorts_after(dialect_of("oracle"), naming, ["a", "b"], [1, 2]).text == (
        '((r."a" > :a0) OR (r."a" = :a0 AND r."b" > :a1))'
    )
