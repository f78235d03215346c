"""What a Reader says about questions that it can't answer."""

from __future__ import annotations

import json

import pytest

from bridge.connector import Ask, ColumnCondition, ColumnOrder, ReaderFeatures, refuse_unsupported
from bridge.connector.ask import OPERATORS, total_order
from bridge.model.errors import Rejected

BY_NO = (ColumnOrder("no"),)
RANGE = ColumnCondition("qty", ">=", (5,))
EVERYTHING = ReaderFeatures(
    fields=True,
    where=frozenset(OPERATORS),
    order=True,
    after=True,
    per_key=True,
    nulls=True,
    deadline=True,
)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (Ask("orders", where=(RANGE, RANGE)), "conditions with '>=': "),
        (Ask("orders", order=BY_NO), "an order: "),
        (Ask("orders", order=BY_NO, after=(7,)), "an order, rows after a cursor: "),
        (Ask("orders", ("no",), [(7,)], per_key=0), "a limit per key: "),
    ],
)
def test_a_part_that_is_not_declared_is_refused_by_its_name(ask: Ask, words: str) -> None:
    with pytest.raises(Rejected, match=f"table 'orders' can't be read with {words}") as refused:
        refuse_unsupported(ask, ReaderFeatures())
    assert refused.value.code == "unsupported_query"
    assert str(refused.value).endswith("it can look up by equal values, limit the rows")
    refuse_unsupported(ask, EVERYTHING)


def test_one_operator_is_not_the_other() -> None:
    features = ReaderFeatures(where=frozenset({">", "<="}), order=True)
    with pytest.raises(Rejected, match=r"it can .*, compare with <= >, sort$"):
        refuse_unsupported(Ask("orders", where=(RANGE,)), features)


def test_nulls_elsewhere_than_lowest_are_asked_only_where_they_can_be() -> None:
    lowest = Ask("orders", order=(ColumnOrder("a", nulls="first"), ColumnOrder("b", True)))
    refuse_unsupported(lowest, ReaderFeatures(order=True))
    for part in (ColumnOrder("a"), ColumnOrder("a", descending=True, nulls="first")):
        ask = Ask("orders", order=(part,))
        with pytest.raises(Rejected, match="with nulls last ascending or first descending: "):
            refuse_unsupported(ask, ReaderFeatures(order=True))
        refuse_unsupported(ask, ReaderFeatures(order=True, nulls=True))


def test_every_reader_takes_a_projection_a_limit_and_a_deadline() -> None:
    ask = Ask("orders", ("no",), [(1,)], fields=("no",), limit=5, deadline=17.5)
    refuse_unsupported(ask, ReaderFeatures())


def test_a_question_is_plain_values() -> None:
    ask = Ask("orders", ("no",), ((1,),), ("no",), (RANGE,), BY_NO, 3, (7,), 10, 17.5)
    table, columns, keys, fields, where, order, *others = json.loads(json.dumps(ask))
    again = Ask(
        table,
        tuple(columns),
        tuple(map(tuple, keys)),
        tuple(fields),
        tuple(ColumnCondition(name, op, tuple(values)) for name, op, values in where),
        tuple(ColumnOrder(*part) for part in order),
        others[0],
        tuple(others[1]),
        *others[2:],
    )
    assert again == ask


def test_an_order_ends_with_the_key_so_that_it_is_total() -> None:
    ask = Ask("lines", ("no",), [("1",)], order=(ColumnOrder("pos", descending=True),))
    assert total_order(ask, ("no", "pos")) == (*ask.order, ColumnOrder("no"))
    in_key_order = (ColumnOrder("no"), ColumnOrder("pos"))
    assert total_order(ask._replace(order=(), per_key=2), ("no", "pos")) == in_key_order
    assert total_order(ask._replace(order=()), ("no", "pos")) == ()
