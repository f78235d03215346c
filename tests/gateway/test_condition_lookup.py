"""Queries that wait together: one query, and each has the rows that it would have alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.connector import Ask
from bridge.gateway import Gateway
from bridge.gateway.condition_lookup import LimitedQuery, divide
from bridge.model.errors import Rejected
from bridge.model.specs import SystemLimits
from tests.example_counts import examples
from tests.gateway.memory_reader import MemoryReader, PaddedTable

ITEM = PaddedTable("item", "T", ["ID", "COLOUR", "SIZE"], ["id"])
COLOURS = st.sampled_from(["red", "green", "blue", "grey"])
CONDITIONS = st.fixed_dictionaries(
    {}, optional={"colour": COLOURS | st.lists(COLOURS, max_size=3), "size": st.sampled_from("ml")}
)


class LimitReader(MemoryReader):
    """Remembers limits, too."""

    limits: list[int | None]

    async def fetch(self, ask: Ask) -> Any:
        self.limits.append(ask.limit)
        return await super().fetch(ask)


def reader_of(rows: Sequence[tuple[str, str]], **more: Any) -> LimitReader:
    table = [
        {"ID": f"{number:04}", "COLOUR": colour, "SIZE": size}
        for number, (colour, size) in enumerate(rows)
    ]
    reader = LimitReader({"T": table or [{"ID": "none", "COLOUR": "none", "SIZE": "none"}]}, **more)
    reader.limits = []
    return reader


def gateway(reader: LimitReader) -> Gateway:
    return Gateway("erp", reader, {"item": ITEM}, SystemLimits())


def matching(rows: Sequence[tuple[str, str]], where: dict[str, Any]) -> set[str]:
    """The ids of rows, by a plain look at each."""
    ids = set()
    for number, (colour, size) in enumerate(rows):
        colours = where.get("colour", colour)
        fits = colour in colours if isinstance(colours, list) else colour == colours
        if fits and where.get("size", size) == size:
            ids.add(str(number).lstrip("0"))
    return ids


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(
    rows=st.lists(st.tuples(COLOURS, st.sampled_from("ml")), min_size=1, max_size=30),
    queries=st.lists(st.tuples(CONDITIONS, st.integers(1, 12)), min_size=1, max_size=12),
    max_keys=st.integers(6, 40),
)
def test_each_query_has_as_many_rows_as_alone_and_only_its_own(
    rows: list[tuple[str, str]], queries: list[tuple[dict[str, Any], int]], max_keys: int
) -> None:
    reader = reader_of(rows, max_keys=max_keys)

    async def run() -> list[list[Any]]:
        door = gateway(reader)
        return list(await asyncio.gather(*(door.query("item", *query) for query in queries)))

    for (where, limit), answer in zip(queries, asyncio.run(run()), strict=True):
        ids = [row.id for row in answer]
        expected = matching(rows, where)
        assert len(set(ids)) == len(ids) == min(limit, len(expected))
        assert set(ids) <= expected
    assert all(len(keys) <= max_keys for _, _, keys in reader.queries)


async def test_a_thousand_queries_of_one_shape_are_one_query() -> None:
    reader = reader_of([("red", "m")] * 5)
    door = gateway(reader)
    answers = await asyncio.gather(
        *(door.query("item", {"id": str(number)}, 10) for number in range(1000))
    )
    assert [len(answer) for answer in answers[:6]] == [1, 1, 1, 1, 1, 0]
    assert len(reader.queries) == 1
    assert reader.limits == [10_000]


async def test_queries_that_together_have_too_many_combinations_are_several() -> None:
    reader = reader_of([("red", "m")] * 9, max_keys=4)
    door = gateway(reader)
    answers = await asyncio.gather(
        *(door.query("item", {"id": [str(n), str(n + 1), str(n + 2)]}, 5) for n in (1, 4))
    )
    assert [len(answer) for answer in answers] == [3, 3]
    assert [len(keys) for _, _, keys in reader.queries] == [3, 3]


async def test_the_order_of_conditions_makes_no_other_shape() -> None:
    reader = reader_of([("red", "m"), ("green", "l")])
    door = gateway(reader)
    one_way, other_way = await asyncio.gather(
        door.query("item", {"colour": "red", "size": "m"}, 5),
        door.query("item", {"size": "l", "colour": "green"}, 5),
    )
    assert ([row.id for row in one_way], [row.id for row in other_way]) == ([""], ["1"])
    assert len(reader.queries) == 1


async def test_a_query_alone_has_its_own_limit_only() -> None:
    reader = reader_of([("red", "m")] * 9)
    assert len(await gateway(reader).query("item", {"colour": "red"}, 4)) == 4
    assert reader.limits == [4]


async def test_a_query_with_too_many_rows_costs_the_others_few_queries() -> None:
    reader = reader_of([("red", "m")] * 500 + [("blue", "m"), ("grey", "m")])
    door = gateway(reader)
    wheres = [{"colour": colour} for colour in ("red", "green", "blue", "grey")]
    red, green, blue, grey = await asyncio.gather(
        *(door.query("item", where, 10) for where in wheres)
    )
    assert [len(answer) for answer in (red, green, blue, grey)] == [10, 0, 1, 1]
    assert len(reader.queries) == 3
    assert max(filter(None, reader.limits)) == 40


async def test_equal_conditions_share_rows_each_up_to_its_limit() -> None:
    reader = reader_of([("red", "m")] * 9)
    door = gateway(reader)
    answers = await asyncio.gather(
        *(door.query("item", {"colour": "red"}, limit) for limit in (2, 7, 7, 100))
    )
    assert [len(answer) for answer in answers] == [2, 7, 7, 9]
    assert len(reader.queries) == 1
    answers[1].clear()
    assert len(answers[2]) == 7


async def test_a_condition_that_is_refused_fails_alone() -> None:
    reader = reader_of([("red", "m"), ("blue", "m")], poison=frozenset({"green"}))
    door = gateway(reader)
    red, green, blue = await asyncio.gather(
        *(door.query("item", {"colour": c}, 5) for c in ("red", "green", "blue")),
        return_exceptions=True,
    )
    assert isinstance(green, Rejected)
    assert (len(red), len(blue)) == (1, 1)  # type: ignore[arg-type]


def test_keys_whose_rows_are_not_known_leave_their_queries_open() -> None:
    queries = [LimitedQuery((("a",), ("b",)), 1), LimitedQuery((("c",),), 1)]
    rows: dict[Any, Any] = {("a",): ["row a"], ("c",): ["row c"]}
    settled, again = divide(queries, rows, [[("b",)], [("B",)]], is_whole=True)
    assert {key: list(of) for key, of in settled.items()} == {(("c",),): ["row c"]}
    assert again == [queries[0]]
