"""A row that is wrong spoils no other that is read with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bridge.gateway.separate_rows import read_separately
from bridge.model.errors import RetryLater, RowError
from bridge.model.read_demands import NO_DEMANDS, ReadDemands

WRONG = RowError("is no number", field="total")


class KeyedRows:
    """Rows by key; an error is raised."""

    def __init__(self, rows: dict[Any, Any]) -> None:
        self._rows = rows

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any]:
        del demands
        assert entity == "erp.order"
        found_rows = [self._rows.get(key) for key in keys]
        for row in found_rows:
            if isinstance(row, Exception):
                raise row
        return found_rows


async def test_each_key_has_its_row_none_or_what_is_wrong_with_it() -> None:
    rows = KeyedRows({1: "one", 2: WRONG, 4: "four"})
    assert await read_separately(rows, "erp.order", [1, 2, 3, 4]) == ["one", WRONG, None, "four"]


async def test_what_is_wrong_with_the_system_is_raised() -> None:
    rows = KeyedRows({1: RetryLater("the ERP is away"), 2: "two"})
    with pytest.raises(RetryLater):
        await read_separately(rows, "erp.order", [2, 1])
