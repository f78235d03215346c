"""Queries by ranges, in an order, page by page, of some fields: through the gateway to a database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.agent.selected_rows import select_rows
from bridge.connector import Ask, ReaderFeatures, Rows, System, TableUse
from bridge.gateway import Gateway, live_reads
from bridge.gateway.source_selection import source_selection
from bridge.model.errors import Rejected, RetryLater
from bridge.model.event import Unavailable
from bridge.model.row_selection import RowSelection, row_selection
from bridge.model.specs import EntitySpec, FieldSpec, SystemLimits
from bridge.observe import Notice, RowsRead
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from connectors.journal.connector import JournalOptions
from connectors.sql.read.reader import SqlReader
from connectors.sql.sqlite.dialect import SQLITE
from tests.example_counts import examples
from tests.gateway.memory_reader import MemoryReader, PaddedTable
from tests.waiting import until

FIELDS = ("id", "shop", "qty", "note")
ROWS: list[dict[str, Any]] = [
    {
        "id": number,
        "shop": f"s{number % 3}",
        "qty": None if number % 7 == 0 else number % 5,
        "note": "abc"[number % 3],
    }
    for number in range(1, 31)
]
DECLARED = (
    FieldSpec("id", ("id",)),
    FieldSpec("shop", ("shop",)),
    FieldSpec("qty", ("qty",)),
    FieldSpec("note", ("note",)),
    FieldSpec("code", ("note",), map={"a": "A", "b": "B", "c": "C"}),
)


class FileGateway:
    """A gateway over a file, and how many queries it sent."""

    def __init__(self, path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.execute(
                "CREATE TABLE items (id integer PRIMARY KEY, shop text, qty integer, note text)"
            )
            db.executemany("INSERT INTO items VALUES (:id, :shop, :qty, :note)", ROWS)
        url = f"sqlite:///{path}"
        self.system = System(
            "acme", "erp", url, url, JournalOptions(), (TableUse("items", ("id",)),)
        )
        self.queries = 0

    async def __aenter__(self) -> Gateway:

        reader = SqlReader(self.system, SQLITE)
        shape = (await reader.fetch(Ask("items", limit=1))).shape
        spec = EntitySpec("erp", "item", "items", key=("id",), fields=DECLARED)
        table = EntityTable(spec, entity_type(spec, shape), shape)
        self._gateway = Gateway(
            "erp", reader, {"item": table}, SystemLimits(), observer=self._count
        )
        return self._gateway

    async def __aexit__(self, *_: object) -> None:
        await self._gateway.close()

    def _count(self, notice: Notice) -> None:
        if isinstance(notice, RowsRead):
            self.queries += notice.queries


@pytest.fixture
def door(tmp_path: Path) -> FileGateway:
    return FileGateway(tmp_path / "erp.db")


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened_runner:
        yield opened_runner


QTY = st.integers(-1, 6)
CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "shop": st.sampled_from(["s0", "s1", "s9"]) | st.just(["s1", "s2"]),
        "qty": st.fixed_dictionaries(
            {}, optional={">=": QTY, "<": QTY, "in": st.lists(QTY)}
        ).filter(bool),
        "note": st.sampled_from([{">": "a"}, {"between": ["a", "b"]}, {"<=": "b", ">=": "b"}]),
    },
)
ORDERS = st.lists(
    st.sampled_from(["qty", "-qty", "note", "-note", "-id"]), max_size=3,
    unique_by=lambda name: name.removeprefix("-"),
).map(tuple)  # fmt: skip


def test_queries_are_answered_as_by_a_look_at_each_row(
    door: FileGateway, runner: asyncio.Runner
) -> None:
    gateway = runner.run(door.__aenter__())

    @settings(
        max_examples=examples(300),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(CONDITIONS, ORDERS, st.none() | st.sampled_from(ROWS), st.integers(1, 40))
    def check(where: dict[str, Any], order: tuple[str, ...], cursor: Any, limit: int) -> None:
        selection = RowSelection(order, cursor)
        answer = runner.run(gateway.query("item", where, limit, selection=selection))
        candidates = [row for row in ROWS if _equals(row, where)]
        right = [row["id"] for row in select_rows(candidates, ["id"], where, selection)]
        ids = [row["id"] for row in answer]
        if order or cursor:
            assert ids == right[:limit]
        else:
            assert set(ids) <= set(right)
            assert len(ids) == min(limit, len(right))

    check()
    runner.run(door.__aexit__())


def _equals(row: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    shops = where.get("shop", row["shop"])
    return row["shop"] in (shops if isinstance(shops, list) else [shops])


async def test_pages_walk_over_every_row_once(door: FileGateway) -> None:
    async with door as gateway:
        walked: list[int] = []
        last = None
        while True:
            page = await gateway.query(
                "item", {}, 7, selection=row_selection("-qty", last, ["note"])
            )
            if not page:
                break
            walked += [row["id"] for row in page]
            last = page[-1]
        right = select_rows(ROWS, ["id"], {}, RowSelection(("-qty",)))
        assert walked == [row["id"] for row in right]


async def test_queries_of_the_same_range_share_one_query(door: FileGateway) -> None:
    async with door as gateway:
        selection = row_selection("qty")
        where = {"qty": {">=": 2}}
        answers = await asyncio.gather(
            *(gateway.query("item", {**where, "shop": f"s{n % 3}"}, 50, selection=selection)
              for n in range(60))
        )  # fmt: skip
        assert door.queries == 1
        for number, answer in enumerate(answers[:3]):
            right = [row for row in ROWS if row["shop"] == f"s{number}" and (row["qty"] or 0) >= 2]
            right.sort(key=lambda row: (row["qty"], row["id"]))
            assert [row["id"] for row in answer] == [row["id"] for row in right]


async def test_only_fields_that_were_asked_for_can_be_read(door: FileGateway) -> None:
    async with door as gateway:
        [row] = await gateway.query("item", {"id": 5}, 1, selection=row_selection(fields=["note"]))
        assert (row["id"], row["note"]) == (5, "c")
        with pytest.raises(Unavailable, match="nobody asked for it"):
            _ = row["shop"]
        [whole] = await gateway.query("item", {"id": 5}, 1)
        assert whole["shop"] == "s2"


@pytest.mark.parametrize(
    ("where", "selection", "words"),
    [
        ({"quty": {">": 1}}, {}, r"erp.item has no field 'quty'; did you mean 'qty'\?; it has"),
        ({}, {"order": "shp"}, r"no field 'shp'; did you mean 'shop'\?"),
        ({}, {"fields": ["noted"]}, r"no field 'noted'; did you mean 'note'\?"),
        (
            {"qty": {"=>": 1}},
            {},
            r"field 'qty': '=>' is no operator.*there are < <= > >= between in",
        ),
        ({"qty": {"betwen": [1, 2]}}, {}, r"'betwen' is no operator; did you mean 'between'\?"),
        ({"qty": {}}, {}, "field 'qty': a condition without an operator"),
        ({"qty": {"<": [1]}}, {}, "'<' takes one value, not a list"),
        ({"qty": {"in": 1}}, {}, "'in' takes a list of values"),
        ({"qty": {"between": [1]}}, {}, "'between' takes two values, not 1"),
        ({"qty": {"<": None}}, {}, "nothing compares with null by '<'"),
        ({"qty": {"<": "many"}}, {}, "field 'qty'"),
        ({"code": {"<": "B"}}, {}, "can't be sorted or compared by 'code': `map` makes it"),
        ({}, {"order": "code"}, "can't be sorted or compared by 'code': `map` makes it"),
        ({}, {"order": ["qty", "-qty"]}, "the order names a field twice: qty, -qty"),
        ({}, {"order": "qty", "continue_after": 7}, "a mapping of the fields qty, id"),
        ({}, {"order": "qty", "continue_after": {"qty": 7}}, "a mapping of the fields qty, id"),
    ],
)
async def test_what_can_not_be_asked_is_refused_by_name(
    door: FileGateway, where: dict[str, Any], selection: dict[str, Any], words: str
) -> None:
    async with door as gateway:
        with pytest.raises(Rejected, match=words):
            await gateway.query("item", where, 5, selection=row_selection(**selection))
        assert door.queries == 0


@pytest.mark.parametrize(
    ("where", "selection", "words"),
    [
        ({"size": {">": 1}}, {}, "conditions with '>'"),
        ({}, {"order": "size"}, "an order"),
        ({}, {"continue_after": {"id": "1"}}, "an order, rows after a cursor"),
    ],
)
async def test_what_a_connector_can_not_is_refused_before_it_is_asked(
    where: dict[str, Any], selection: dict[str, Any], words: str
) -> None:
    reader = MemoryReader({"T": [{"ID": "1", "SIZE": "m"}]})
    table = PaddedTable("item", "T", ["ID", "SIZE"], ["id"])
    gateway = Gateway("erp", reader, {"item": table}, SystemLimits())
    with pytest.raises(Rejected, match=words) as refused:
        await gateway.query("item", where, 5, selection=row_selection(**selection))
    assert refused.value.code == "unsupported_query"
    assert reader.queries == []


async def test_queries_of_other_ranges_are_forgotten_when_they_are_idle(
    door: FileGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cursor is a shape of its own."""
    monkeypatch.setattr(live_reads, "MAX_QUERY_SHAPES", 3)
    async with door as gateway:
        reads = [gateway.query("item", {"id": {">": n}}, 1) for n in range(6)]
        assert [len(rows) for rows in await asyncio.gather(*reads)] == [1] * 6
        await gateway.query("item", {"id": {">": 7}}, 1)
        assert len(gateway._live._condition_lookups) == 3


def test_a_range_of_a_column_of_another_type_is_refused() -> None:
    """The order of texts isn't that of the numbers that they are read as."""
    from bridge.connector import Column, Shape
    from bridge.model.types import FieldType
    from bridge.plan.steps import Wire

    def table(native: str, target: str) -> EntityTable:
        columns = (
            Column("id", "int", FieldType("integer"), "python", key=True),
            Column("x", native, FieldType(native), "python"),
        )
        shape = Shape("T", columns, Wire.PYTHON)
        fields = (FieldSpec("id", ("id",)), FieldSpec("x", ("x",), FieldType(target)))
        spec = EntitySpec("erp", "item", "T", key=("id",), fields=fields)
        return EntityTable(spec, entity_type(spec, shape), shape)

    with pytest.raises(Rejected, match="it is of type integer, and its column of type string"):
        source_selection(table("string", "integer"), {"x": {"<": 5}}, RowSelection())
    with pytest.raises(Rejected, match="of type json, which has no order"):
        source_selection(table("json", "json"), {}, RowSelection(("x",)))
    for native, target in (("integer", "double"), ("string", "string"), ("date", "date")):
        assert table(native, target).ordered_column("x") == "x"


class IgnoringReader(MemoryReader):
    """Answers every row, whatever else is asked, once it may."""

    async def fetch(self, ask: Ask) -> Rows:
        plain = Ask(ask.table, ask.columns, ask.keys, limit=ask.limit)
        return await super().fetch(plain)


def ignoring(**more: Any) -> tuple[IgnoringReader, Gateway]:
    reader = IgnoringReader({"T": [{"ID": "1", "SIZE": "m"}]}, **more)
    table = PaddedTable("item", "T", ["ID", "SIZE"], ["id"])
    return reader, Gateway("erp", reader, {"item": table}, SystemLimits())


async def test_a_reader_that_would_ignore_a_part_is_not_asked() -> None:
    reader, gateway = ignoring()
    with pytest.raises(Rejected, match="conditions with '>'"):
        await gateway.query("item", {"size": {">": "x"}}, 5)
    assert reader.queries == []


async def test_closing_ends_queries_whose_range_was_forgotten_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_reads, "MAX_QUERY_SHAPES", 1)
    features = ReaderFeatures(where=frozenset({">"}))
    reader, gateway = ignoring(gate=asyncio.Event(), features=features)
    reads = [asyncio.create_task(gateway.query("item", {"size": {">": text}}, 5)) for text in "abc"]
    await until(lambda: len(reader.queries) == len(reads))
    await gateway.close()
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RetryLater}


async def test_a_projection_is_kept_for_nobody(
    door: FileGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads the row later would have it without its other fields."""
    async with door as gateway:

        class Keeper:
            def __getattr__(self, name: str) -> Any:
                raise AssertionError(name)

        monkeypatch.setattr(gateway, "peers", Keeper())
        monkeypatch.setattr(gateway._reads, "fills", Keeper())
        rows = await gateway.query("item", {"id": 5}, 1, selection=row_selection(fields=["note"]))
        assert [row["note"] for row in rows] == ["c"]
