"""A row that the database returns for a key is that key's row, whatever it takes for equal."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.gateway import Gateway
from bridge.gateway.row_alignment import align_rows, fold_key, rows_by_raw_value
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from connectors.postgres.capture_dialect import POSTGRES
from connectors.sql.dialect import SqlDialect
from connectors.sql.read.reader import SqlReader
from connectors.sql.sqlite.dialect import SQLITE
from tests.connectors.sql.conftest import SqlDatabase
from tests.example_counts import examples

TEXT = st.text("aAbBäÄßsS é1-", max_size=3)


def ascii_fold(text: str) -> str:
    return "".join(chr(ord(sign) + 32) if "A" <= sign <= "Z" else sign for sign in text)


def no_accents(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign)).rstrip()


COMPARES: dict[str, Callable[[str], str]] = {
    "binary": str,
    "NOCASE": ascii_fold,
    "citext": str.lower,
    "RTRIM": lambda text: text.rstrip(" "),
    "accents": no_accents,
}


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("how", COMPARES)
@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(
    requested=st.lists(TEXT, min_size=1, max_size=8, unique=True), texts=st.lists(TEXT, max_size=8)
)
@example(requested=["a", "b"], texts=["a", "A", "b"])
@example(requested=["", " "], texts=["", " "])
@example(requested=["a", "A", "b"], texts=["a", "A"])
def test_each_key_gets_what_it_gets_when_it_is_asked_for_alone(
    how: str, requested: list[str], texts: list[str], unique: bool
) -> None:
    equal = COMPARES[how]
    rows = list({equal(text) if unique else text: (text,) for text in texts}.values())
    queries = 0

    def fetch(keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
        nonlocal queries
        queries += 1
        wanted = {equal(text) for (text,) in keys}
        answer = [row for row in rows if equal(row[0]) in wanted]
        matching, again = align_rows(keys, answer, answer)
        aligned = rows_by_raw_value(keys, [text for (text,) in answer], answer)
        if aligned is not None:
            assert again == []
            of_keys = zip(keys, aligned, strict=True)
            assert {key: list(of) for key, of in of_keys if of is not None} == matching
        for others in again:
            matching.update(fetch(others))
        return matching

    rows_by_key = fetch([(text,) for text in requested])
    assert rows_by_key.keys() <= {(text,) for text in requested}
    for text in requested:
        alone = [row for row in rows if equal(row[0]) == equal(text)]
        assert sorted(rows_by_key.get((text,), [])) == sorted(alone)
    forms = [fold_key((text,)) for text in requested]
    assert queries <= 1 + max(forms.count(form) for form in forms)


RAW_VALUES = st.sampled_from(
    [0, 1, 2, 1.0, True, 2**70, "1", "a", "A", "ab", None, bytearray(b"a")]
)


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(
    keys=st.lists(st.integers(0, 3), unique=True, min_size=1)
    | st.lists(st.sampled_from(["a", "A", "ab", "1", "-", ""]), unique=True, min_size=1)
    | st.lists(st.sampled_from([1, "a", 2.5]), unique=True, min_size=1),
    raw_values=st.lists(RAW_VALUES, max_size=6),
)
@example(keys=[1, 2], raw_values=[2, 2, 1, 2])
@example(keys=["a", "ab"], raw_values=["ab"])
def test_rows_are_aligned_by_raw_values_where_each_is_requested_as_it_is(
    keys: list[Any], raw_values: list[Any]
) -> None:
    rows = list(range(len(raw_values)))
    aligned = rows_by_raw_value([(key,) for key in keys], raw_values, rows)
    are_requested = all(value in keys for value in raw_values)
    are_clear = all(type(key) is int for key in keys) or (
        all(type(key) is str and key.isalnum() for key in keys) and not {"a", "A"}.issubset(keys)
    )
    if not (are_requested and are_clear):
        assert aligned is None or not (raw_values or any(aligned))
        return
    assert aligned is not None
    for key, of in zip(keys, aligned, strict=True):
        assert list(of or ()) == [row for row in rows if raw_values[row] == key]


def test_keys_of_several_values_are_not_aligned_by_raw_values() -> None:
    assert rows_by_raw_value([(1, 2), (3, 4)], [1, 3], ["a", "b"]) is None


def test_a_database_that_compares_by_rules_of_its_own_is_asked_for_fewer_keys_at_a_time() -> None:
    rows_by_key, again = align_rows([("ひ",), ("x",), ("y",)], [("ヒ",), ("x",)], [("ヒ",), ("x",)])
    assert rows_by_key == {}
    assert again == [[("ひ",)], [("x",), ("y",)]]


def test_one_row_whose_key_nobody_asked_for_does_not_lead_to_a_query_for_each_key() -> None:
    keys = [(f"k{number}",) for number in range(1000)]
    rows = [*keys[:700:2], ("ヒ",)]
    queries = 0

    def fetch(batch: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
        nonlocal queries
        queries += 1
        stray = [("ヒ",)] if ("k997",) in batch else []
        answer = [*(row for row in rows if row in set(batch)), *stray]
        matching, again = align_rows(batch, answer, answer)
        for others in again:
            matching.update(fetch(others))
        return matching

    assert fetch(keys) == {**{key: [key] for key in keys[:700:2]}, ("k997",): [("ヒ",)]}
    assert queries <= 1 + 2 * 10


def gateway(erp_database: SqlDatabase, dialect: SqlDialect) -> tuple[Gateway, list[int]]:
    reader = SqlReader(erp_database.system("t"), dialect)
    spec = EntitySpec("erp", "t", "t", key=("code",))
    engine = reader._threads._engine
    with engine.connect() as connection:
        shape = reader._tables.shape(connection, "t")
    queries: list[int] = []
    table = EntityTable(spec, entity_type(spec, shape), shape)
    return Gateway(
        "erp", reader, {"t": table}, SystemLimits(), observer=lambda _: queries.append(1)
    ), queries  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [
        "NOCASE",
        "RTRIM",
        pytest.param("citext", marks=pytest.mark.postgres),
        pytest.param("ICU", marks=pytest.mark.postgres),
    ],
)
async def test_keys_that_compare_without_case_are_found(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind in {"NOCASE", "RTRIM"}:
        erp_database: SqlDatabase = request.getfixturevalue("lite")
        erp_database.run(f"CREATE TABLE t (code text PRIMARY KEY COLLATE {kind}, n integer)")
        dialect = SQLITE
    else:
        erp_database = request.getfixturevalue("server")
        dialect = POSTGRES
        if kind == "citext":
            erp_database.run(
                "CREATE EXTENSION citext", "CREATE TABLE t (code citext PRIMARY KEY, n int)"
            )
        else:
            erp_database.run(
                "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level1',"
                " deterministic = false)",
                "CREATE TABLE t (code text COLLATE ci PRIMARY KEY, n int)",
            )
    erp_database.run("INSERT INTO t VALUES ('AbC', 1), ('other', 2)")
    door, queries = gateway(erp_database, dialect)
    requested = {"RTRIM": ["AbC  ", "AbC", "nobody"]}.get(kind, ["abc", "ABC", "AbC", "nobody"])
    try:
        for key in requested[:-1]:
            row = await door.get("t", key)
            assert row is not None
            assert (row.code, row.n) == ("AbC", 1)
        queries.clear()
        rows = await asyncio.gather(*(door.get("t", key) for key in [*requested, "OTHER"]))
    finally:
        await door.close()
    assert [row and row.n for row in rows[: len(requested)]] == [1] * (len(requested) - 1) + [None]
    assert len(queries) <= len(requested) + 1
    other = rows[-1]
    assert (other is None) == (kind == "RTRIM")
    assert other is None or other.n == 2


@pytest.fixture
def lite(tmp_path: Path) -> Any:
    import sqlite3

    path = tmp_path / "erp.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    yield SqlDatabase("sqlite", f"sqlite:///{path}", SQLITE, db)
    db.close()


@pytest.fixture
def server(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as db:
        yield SqlDatabase("postgres", database, POSTGRES, db)
