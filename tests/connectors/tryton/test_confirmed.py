"""Ids that a listing no longer shows are gone once the ERP says so when it is asked for them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.model.errors import RetryLater
from connectors.tryton.capture.model_poller import ModelPoller
from connectors.tryton.capture.poll import PollQueries, WindowRows
from connectors.tryton.metadata.model import ID
from connectors.tryton.metadata.model_table import ModelTables
from connectors.tryton.options import TrytonOptions


class FakeErp:
    """Lists less than it has; `PollQueries` and `ModelTables` of one model."""

    max_window_rows = 1000
    erp_time = None

    def __init__(self, rows: int) -> None:
        self.rows = set(range(1, rows + 1))
        self.hidden: set[int] = set()
        self.away = False

    async def table(self, name: str) -> Any:
        return SimpleNamespace(name=name, key=(ID,))

    async def newest_time(self, model: str) -> int:
        return 0

    async def window(self, model: str, start: int) -> WindowRows:
        return WindowRows([], at_once=True)

    async def list_ids(self, model: str) -> array[int]:
        return array("q", sorted(self.rows - self.hidden))

    async def existing_ids(self, model: str, ids: Sequence[int]) -> set[int]:
        if self.away:
            raise RetryLater("the ERP is busy")
        return self.rows.intersection(ids)


async def poller_of(erp: FakeErp) -> ModelPoller:
    poller = ModelPoller(
        "kit.order",
        cast("ModelTables", erp),
        cast("PollQueries", erp),
        None,
        options=TrytonOptions(reconcile=1),
        monotonic=lambda: 1e9,
        clock=iter(range(0, 10**9, 100)).__next__,
    )
    await poller.start(first=True)
    return poller


async def test_ids_that_a_listing_left_out_are_not_gone() -> None:
    erp = FakeErp(50)
    poller = await poller_of(erp)
    erp.hidden = {3, 5, 7}
    erp.rows -= {7}
    assert (await poller.poll(complete=True)).deleted == [7]
    erp.hidden = set()
    result = await poller.poll(complete=True)
    assert (result.deleted, result.changed) == ([], [])


async def test_ids_that_the_erp_could_not_be_asked_for_are_missing_again() -> None:
    erp = FakeErp(50)
    poller = await poller_of(erp)
    erp.rows -= {7}
    erp.away = True
    with pytest.raises(RetryLater):
        await poller.poll(complete=True)
    erp.away = False
    assert (await poller.poll(complete=True)).deleted == [7]


async def test_more_than_are_plausible_are_left_to_a_comparison_with_the_log() -> None:
    erp = FakeErp(120)
    poller = await poller_of(erp)
    erp.rows -= set(range(1, 42))
    result = await poller.poll(complete=True)
    assert result.deleted == []
    (stale,) = result.stale
    assert stale.reason == "the ERP doesn't list 41 of 120 rows"
    assert not stale.deletes_only
