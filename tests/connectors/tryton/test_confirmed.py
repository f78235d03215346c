"""Ids that a listing no longer shows are gone once the ERP says so when it is asked for them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.model.errors import RetryLater
from connectors.tryton.capture.model_poller import ModelPoller
from connectors.tryton.capture.poll import Poll, WindowRows
from connectors.tryton.metadata.model import ID
from connectors.tryton.metadata.model_table import ModelTables
from connectors.tryton.options import TrytonOptions


class Erp:
    """Lists less than it has; `Look` and `Tables` of one model."""

    most = 1000
    now = None

    def __init__(self, rows: int) -> None:
        self.rows = set(range(1, rows + 1))
        self.hidden: set[int] = set()
        self.away = False

    async def table(self, name: str) -> Any:
        return SimpleNamespace(name=name, key=(ID,))

    async def newest(self, model: str) -> int:
        return 0

    async def window(self, model: str, begin: int) -> WindowRows:
        return WindowRows([], at_once=True)

    async def ids(self, model: str) -> array[int]:
        return array("q", sorted(self.rows - self.hidden))

    async def present(self, model: str, ids: Sequence[int]) -> set[int]:
        if self.away:
            raise RetryLater("the ERP is busy")
        return self.rows.intersection(ids)


async def watched(erp: Erp) -> ModelPoller:
    made = ModelPoller(
        "kit.order",
        cast("ModelTables", erp),
        cast("Poll", erp),
        None,
        options=TrytonOptions(reconcile=1),
        monotonic=lambda: 1e9,
        clock=iter(range(0, 10**9, 100)).__next__,
    )
    await made.begin(first=True)
    return made


async def test_ids_that_a_listing_left_out_are_not_gone() -> None:
    erp = Erp(50)
    one = await watched(erp)
    erp.hidden = {3, 5, 7}
    erp.rows -= {7}
    assert (await one.look(whole=True)).gone == [7]
    erp.hidden = set()
    seen = await one.look(whole=True)
    assert (seen.gone, seen.news) == ([], [])


async def test_ids_that_the_erp_could_not_be_asked_for_are_missing_again() -> None:
    erp = Erp(50)
    one = await watched(erp)
    erp.rows -= {7}
    erp.away = True
    with pytest.raises(RetryLater):
        await one.look(whole=True)
    erp.away = False
    assert (await one.look(whole=True)).gone == [7]


async def test_more_than_are_plausible_are_left_to_a_comparison_with_the_log() -> None:
    erp = Erp(120)
    one = await watched(erp)
    erp.rows -= set(range(1, 42))
    seen = await one.look(whole=True)
    assert seen.gone == []
    (stale,) = seen.stale
    assert stale.reason == "the ERP doesn't list 41 of 120 rows"
    assert not stale.deletes_only
