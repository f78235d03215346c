"""A Reader that answers something else than was asked: an error that says so, and nothing wrong served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from bridge.connector import Ask, Column, ColumnCondition, ColumnOrder, Rows, Shape
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.ask import Operator
from bridge.gateway import Gateway
from bridge.gateway.answer_check import foreign_row, wrong_part
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.model.types import FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.steps import MISSING, Wire
from tests.gateway.memory_reader import MemoryReader

COLUMNS = (
    Column("id", "integer", FieldType("integer"), "python", nullable=False, key=True),
    Column("qty", "integer", FieldType("integer"), "python"),
    Column("name", "text", FieldType("string"), "python"),
)
SHAPE = Shape("T", COLUMNS, Wire.PYTHON)
ROWS: list[tuple[Any, ...]] = [(number, number % 4, f"name {number}") for number in range(1, 33)]
Lie = Callable[[Ask, list[Any]], Sequence[Any]]


class LyingReader(MemoryReader):
    """Right answers, changed by `lie`."""

    lie: Lie = staticmethod(lambda _, rows: rows)
    shape = SHAPE

    async def fetch(self, ask: Ask) -> Rows:
        self.queries.append((ask.table, tuple(ask.columns), list(ask.keys)))
        await asyncio.sleep(0)
        names = [column.name for column in COLUMNS]
        indexes = [names.index(column) for column in ask.columns]
        keys = set(ask.keys)
        rows = [row for row in ROWS if not indexes or tuple(row[at] for at in indexes) in keys]
        return Rows(self.shape, list(self.lie(ask, rows[: ask.limit])))


def door(lie: Lie) -> tuple[Gateway, LyingReader]:
    reader = LyingReader({})
    reader.lie = lie
    spec = EntitySpec("erp", "thing", "T", key=("id",))
    table = EntityTable(spec, entity_type(spec, SHAPE), SHAPE)
    return Gateway("erp", reader, {"thing": table}, SystemLimits()), reader


async def refusal(read: Any) -> str:
    with pytest.raises(AnswerMismatch) as refused:
        await read
    assert refused.value.code == "answer_mismatch"
    text = str(refused.value)
    assert text.startswith("system erp: LyingReader was asked about table 'T' and answered ")
    assert text.endswith("`bridge.kit.connector` tests what a Reader has to answer")
    return text


async def test_a_single_read_never_gets_a_row_that_nobody_asked_for() -> None:
    """A reader that ignores keys answers the first row of its table, whatever was asked."""
    gateway, _ = door(lambda _, __: ROWS[:1])
    row: Any = await gateway.get("thing", 1)
    assert row["name"] == "name 1"
    assert "a row that nobody asked for" in await refusal(gateway.get("thing", 2))
    assert "a row that nobody asked for" in await refusal(gateway.query("thing", {"qty": 3}, 5))


async def test_one_key_that_is_answered_wrongly_costs_the_others_nothing() -> None:
    """And at most 2 log n more queries."""

    def lie(ask: Ask, rows: list[Any]) -> list[Any]:
        return [*rows, (99, 0, "foreign")] if (7,) in ask.keys else rows

    gateway, reader = door(lie)
    reads = [gateway.get("thing", number) for number in range(1, 33)]
    answers: list[Any] = await asyncio.gather(*reads, return_exceptions=True)
    assert [answer["id"] for answer in answers if not isinstance(answer, BaseException)] == [
        number for number in range(1, 33) if number != 7
    ]
    assert isinstance(answers[6], AnswerMismatch)
    assert len(reader.queries) <= 1 + 2 * 5


async def test_a_reader_that_always_answers_wrongly_is_not_asked_for_each_key() -> None:
    gateway, reader = door(lambda _, rows: [*rows, (99, 0, "foreign")])
    answers = await asyncio.gather(
        *(gateway.get("thing", number) for number in range(1, 33)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {AnswerMismatch}
    assert len(reader.queries) <= 1 + 2 * 5


async def test_foreign_rows_of_a_query_that_several_share_reach_none_of_them() -> None:
    gateway, _ = door(lambda _, rows: [*rows, (99, 77, "foreign")])
    reads = [gateway.query("thing", {"qty": number}, 50) for number in (1, 2)]
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert {type(answer) for answer in answers} == {AnswerMismatch}


async def test_more_rows_than_the_limit_are_an_error_though_they_could_be_cut() -> None:
    """Whoever ignores a limit may read a whole table."""
    gateway, _ = door(lambda ask, _: [row for row in ROWS if not ask.keys or row[1] == 3])
    assert "8 rows, and the limit was 5" in await refusal(gateway.query("thing", {"qty": 3}, 5))
    assert "32 rows, and the limit was 5" in await refusal(gateway.query("thing", {}, 5))


async def test_a_row_that_came_twice_is_an_error() -> None:
    gateway, _ = door(lambda _, rows: [*rows, rows[0]])
    text = await refusal(gateway.query("thing", {"qty": 3}, 50))
    assert "1 of 9 rows twice, by the table's key" in text


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (lambda _, rows: [row[:2] for row in rows], "row 0 has 2 values, and its shape 3 columns"),
        (lambda _, rows: [{"id": row[0]} for row in rows], "row 0 is no tuple but of type dict"),
        (lambda _, rows: [*rows, None], "row 1 is no tuple but of type NoneType"),
    ],
)  # fmt: skip
async def test_rows_of_another_form_than_their_shape_are_an_error(lie: Lie, words: str) -> None:
    gateway, _ = door(lie)
    assert words in await refusal(gateway.get("thing", 1))


async def test_an_answer_without_a_column_that_was_asked_for_is_an_error() -> None:
    gateway, reader = door(lambda _, rows: [row[1:] for row in rows])
    reader.shape = Shape("T", COLUMNS[1:], Wire.PYTHON)
    assert "no column 'id', which was asked for" in await refusal(gateway.get("thing", 1))


BY_QTY = (ColumnOrder("qty"), ColumnOrder("id"))
DOWN = (ColumnOrder("qty", descending=True, nulls="first"), ColumnOrder("id"))
OUT_OF_ORDER = "row 1 out of order"


def where(operator: Operator, *values: Any) -> Ask:
    return Ask("T", where=(ColumnCondition("qty", operator, values),))


@pytest.mark.parametrize(
    ("ask", "rows", "wrong"),
    [
        (Ask("T", order=BY_QTY), [(1, 1), (2, 1), (3, 2), (4, None)], ""),
        (Ask("T", order=BY_QTY), [(3, 2), (2, 1)], OUT_OF_ORDER),
        (Ask("T", order=BY_QTY), [(2, 1), (1, 1)], OUT_OF_ORDER),
        (Ask("T", order=BY_QTY), [(1, None), (2, 1)], OUT_OF_ORDER),
        (Ask("T", order=DOWN), [(1, None), (2, 1), (3, 0)], ""),
        (Ask("T", order=DOWN), [(2, 1), (1, None)], OUT_OF_ORDER),
        (Ask("T", order=DOWN), [(2, 1), (1, 2)], OUT_OF_ORDER),
        (Ask("T", order=(ColumnOrder("name"),)), [(1, 1, "b"), (2, 1, "a")], ""),
        (Ask("T", order=BY_QTY), [(3, MISSING), (2, 1)], ""),
        (Ask("T", order=BY_QTY, after=(1, 1)), [(2, 1)], ""),
        (Ask("T", order=BY_QTY, after=(1, 2)), [(1, 1)], "a row before the cursor"),
        (Ask("T", order=BY_QTY, after=(None, 2)), [(9, 7)], "a row before the cursor"),
        (Ask("T", ("qty",), [(1,)], order=BY_QTY, per_key=1), [(1, 1), (2, 1)],
         "2 rows of one key, and at most 1 were asked for"),
        (Ask("T", ("qty",), [(1,)], order=BY_QTY, per_key=2), [(1, 1), (2, 1)], ""),
        (where("<", 5), [(1, 4)], ""),
        (where("<", 5), [(1, 5)], "a row whose 'qty' is not < what was asked for"),
        (where("<=", 5), [(1, 5)], ""),
        (where("<=", 5), [(1, 6)], "a row whose 'qty' is not <= what was asked for"),
        (where(">", 5), [(1, Decimal("5.1"))], ""),
        (where(">", 5), [(1, 5)], "a row whose 'qty' is not > what was asked for"),
        (where(">=", 5), [(1, 5)], ""),
        (where(">=", 5), [(1, Decimal("4.9"))], "a row whose 'qty' is not >= what was asked for"),
        (where("between", 2, 4), [(1, 2), (2, 4)], ""),
        (where("between", 2, 4), [(1, 5)], "a row whose 'qty' is not between what was asked for"),
        (where("between", 2, 4), [(1, 1)], "a row whose 'qty' is not between what was asked for"),
        (where("in", 2, 4), [(1, 2)], ""),
        (where("in", 2, 4), [(1, 3)], "a row whose 'qty' is not in what was asked for"),
        (where(">", 5), [(1, None)], "a row whose 'qty' is not > what was asked for"),
        (where(">", "b"), [(1, "a")], ""),
        (where(">", 5), [(1, "4")], ""),
        (Ask("T", fields=("colour",)), [], "no column 'colour', which was asked for"),
        (Ask("T"), [([], 1), (2, 1)], ""),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_answer(ask: Ask, rows: list[tuple[Any, ...]], wrong: str) -> None:
    """Texts are sorted in many ways, and a text is no number: those are not judged."""
    width = len(COLUMNS)
    full = [(*row, *([""] * (width - len(row)))) for row in rows]
    assert wrong_part(ask, Rows(SHAPE, full)) == wrong


def test_rows_whose_keys_some_system_takes_for_equal_are_not_foreign() -> None:
    keys = [("Ab",), ("0007",), ("x y",)]
    assert foreign_row(keys, [("AB",), ("ab ",), ("7",), ("x-y",), ("Ab",)]) is None
    assert foreign_row(keys, [("Ab",), ("abc",)]) == 1
    assert foreign_row([(1,)], [(Decimal("1.0"),), (2,)]) == 1
    assert foreign_row([(1,)], []) is None
    assert foreign_row([(1,)], [([],)]) is None
