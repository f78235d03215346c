"""Snapshots of a real Tryton, beyond what every connector's do."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connector import Chunk, TableUse
from bridge.model.errors import BridgeError, ConfigurationError
from bridge.plan.steps import MISSING
from connectors.tryton.capture.snapshot import TrytonSnapshot
from tests.connectors.tryton.erp import system
from tests.services.tryton import OUTSIDER, Tryton

SWITCHED = TableUse("kit.switched", (), ("name", "active"))


def values(chunk: Chunk, name: str) -> list[Any]:
    at = [column.name for column in chunk.shape.columns].index(name)
    return [row[at] for row in chunk.rows]


async def test_rows_out_of_use_are_read_counted_and_listed(tryton: Tryton) -> None:
    ids = tryton.rpc.call(
        "model.kit.switched.create",
        [{"name": "in"}, {"name": "out", "active": False}, {"name": "out", "active": False}],
    )
    snapshot = TrytonSnapshot(system(tryton.url, tables=[SWITCHED]))
    try:
        where = {"id": ids}
        assert await snapshot.count("kit.switched", where) == 3
        first = await snapshot.chunk("kit.switched", where, None, 2)
        rest = await snapshot.chunk("kit.switched", where, first.last, 2)
        assert values(first, "id") + values(rest, "id") == ids
        assert values(first, "active") + values(rest, "active") == [True, False, False]
        assert (first.last, rest.last) == ([str(ids[1])], None)
        listed = await snapshot.keys("kit.switched", [str(ids[0])], 1000)
        assert values(listed, "id")[:2] == ids[1:]
        assert set(values(listed, "name")) == {MISSING}
    finally:
        await snapshot.close()


async def test_keys_are_listed_with_the_columns_that_are_declared_as_the_key(
    tryton: Tryton,
) -> None:
    key = tryton.rpc.create("kit.order", {"order_no": "listed", "qty": 1})
    use = TableUse("kit.order", ("order_no",), ("order_no", "qty"))
    snapshot = TrytonSnapshot(system(tryton.url, tables=[use]))
    try:
        listed = await snapshot.keys("kit.order", [str(key - 1)], 10)
        assert values(listed, "order_no") == ["listed"]
        assert values(listed, "qty") == [MISSING]
    finally:
        await snapshot.close()


@pytest.mark.parametrize(
    ("table", "where", "words"),
    [
        ("sale.sale", None, 'access "Sale"'),
        ("no.model", None, "no model 'no.model'"),
        ("kit.order", {"nope": 1}, "there is no such field"),
    ],
)
async def test_what_cannot_be_read_is_a_sentence(
    tryton: Tryton, table: str, where: Any, words: str
) -> None:
    snapshot = TrytonSnapshot(system(tryton.url_of(OUTSIDER), tables=[TableUse(table)]))
    try:
        with pytest.raises(BridgeError, match=words) as caught:
            await snapshot.chunk(table, where, None, 10)
        assert where is not None or isinstance(caught.value, ConfigurationError)
    finally:
        await snapshot.close()
