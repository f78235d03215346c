"""Capture of a real Tryton in its bad hours."""

from __future__ import annotations

import time

import pytest

from bridge.connector import CREATE, DELETE, UPDATE, Stale, TableUse
from bridge.model.errors import Rejected
from connectors.tryton.capture.model_poller import ModelPoller
from connectors.tryton.capture.poll import PollQueries
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model_table import ModelTables
from connectors.tryton.options import TrytonOptions
from tests.connectors.tryton.erp import ErpUser
from tests.connectors.tryton.follow import (
    OPTIONS,
    ORDER,
    SWITCHED,
    delete,
    erp,
    following,
    order,
    run,
    stamp,
    write,
)
from tests.services.tryton import CLERK, Tryton


async def test_a_transaction_that_took_long_is_told_behind_later_ones(tryton: Tryton) -> None:
    """Its rows carry the time at which it began."""
    first, second = order(tryton), order(tryton)
    async with following(erp(tryton)) as follow:
        write(tryton, second, qty=2)
        await follow.until(lambda: follow.changes)
        late = "UPDATE kit_order SET qty = 7, write_date = ? WHERE id = ?"
        run(tryton, late, stamp(seconds=20), first)
        await follow.until(lambda: (UPDATE, "kit.order", first) in follow.emitted())
        assert follow.last(first, "qty") == 7
        await follow.caught_up()
        assert follow.emitted() == [(UPDATE, "kit.order", second), (UPDATE, "kit.order", first)]


async def test_a_look_at_the_last_moments_leaves_late_ones_to_the_next_whole_look(
    tryton: Tryton,
) -> None:
    first, second = order(tryton), order(tryton)
    of = erp(tryton, overlap_interval=2)
    async with following(of) as follow:
        await follow.caught_up()
        late = "UPDATE kit_order SET qty = 7, write_date = ? WHERE id = ?"
        run(tryton, late, stamp(seconds=20), first)
        for number in range(10):
            write(tryton, second, qty=number)
            await follow.read()
        await follow.until(lambda: (UPDATE, "kit.order", first) in follow.emitted())


async def test_a_clock_that_is_set_back_hides_nothing(tryton: Tryton) -> None:
    first, second = order(tryton), order(tryton)
    async with following(erp(tryton)) as follow:
        ahead = "UPDATE kit_order SET qty = 1, write_date = ? WHERE id = ?"
        run(tryton, ahead, stamp(hours=-3), first)
        await follow.until(lambda: (UPDATE, "kit.order", first) in follow.emitted())
        write(tryton, second, qty=2)
        await follow.until(lambda: (UPDATE, "kit.order", second) in follow.emitted())
        write(tryton, first, qty=3)
        await follow.until(lambda: follow.last(first, "qty") == 3)
        await follow.caught_up()
        emitted_count = len(follow.changes)
        await follow.caught_up()
        assert len(follow.changes) == emitted_count, "rows are told again once, not for ever"


async def test_a_row_that_appears_with_an_old_time_is_found_by_its_id(tryton: Tryton) -> None:
    """Restored from history, or written past the ERP, without any time at all."""
    key = order(tryton)
    async with following(erp(tryton, reconcile=0.6)) as follow:
        delete(tryton, key)
        await follow.until(lambda: (DELETE, "kit.order", key) in follow.emitted())
        restore = "INSERT INTO kit_order (id, order_no, qty, create_date) VALUES (?, ?, ?, ?)"
        run(tryton, restore, key, "back", 5, stamp(days=30))
        run(tryton, restore, key + 1000, "untimed", 6, None)
        await follow.until(lambda: len(follow.changes) == 3)
        assert follow.emitted()[1:] == [
            (CREATE, "kit.order", key),
            (CREATE, "kit.order", key + 1000),
        ]
        assert (follow.last(key, "qty"), follow.last(key + 1000, "qty")) == (5, 6)
        await follow.caught_up()
        assert len(follow.changes) == 3
    delete(tryton, key, key + 1000)


async def test_rows_out_of_use_are_rows_as_any_other(tryton: Tryton) -> None:
    async with following(erp(tryton, SWITCHED)) as follow:
        key = tryton.rpc.create("kit.switched", {"name": "a", "active": False})
        await follow.until(lambda: follow.changes)
        write(tryton, key, "kit.switched", active=True)
        await follow.until(lambda: follow.last(key, "active"))
        write(tryton, key, "kit.switched", active=False)
        await follow.until(lambda: not follow.last(key, "active"))
        delete(tryton, key, model="kit.switched")
        await follow.until(lambda: follow.emitted()[-1] == (DELETE, "kit.switched", key))


async def test_rows_that_go_along_with_their_parent_are_told_soon_though_no_log_names_them(
    tryton: Tryton,
) -> None:
    erp_user = ErpUser(tryton)
    key = erp_user.rpc.create("sale.sale", erp_user.sale(lines=3))
    lines = erp_user.rpc.search("sale.line", ["sale", "=", key])
    of = erp(tryton, TableUse("sale.line", (), ("id", "quantity")), reconcile=3600)
    async with following(of) as follow:
        erp_user.rpc.call("model.sale.sale.cancel", [key])
        await follow.caught_up()
        erp_user.rpc.call("model.sale.sale.delete", [key])
        await follow.until(
            lambda: len([change for change in follow.emitted() if change[0] == DELETE]) == 3
        )
        assert {change[2] for change in follow.emitted() if change[0] == DELETE} == set(lines)


# -- restarts ------------------------------------------------------------------------------


async def test_a_model_that_is_added_to_the_file_is_read_whole(tryton: Tryton) -> None:
    async with following(erp(tryton)) as follow:
        begun = follow.checkpoint
    async with following(erp(tryton, ORDER, SWITCHED), begun) as follow:
        await follow.until(lambda: follow.stale)
        assert follow.stale == [Stale(("kit.switched",), "it is captured from now on", False)]


# -- what can't be read ----------------------------------------------------------------------


# -- very many rows --------------------------------------------------------------------------


async def test_that_a_model_has_to_be_compared_is_kept_until_it_is_told(tryton: Tryton) -> None:
    """Also across restarts, while the model can't be read."""
    order(tryton)
    of = erp(tryton, user=CLERK)
    async with TrytonClient(of) as client:
        poller = ModelPoller(
            "kit.order",
            ModelTables(of, client),
            PollQueries(client),
            None,
            options=TrytonOptions.model_validate(OPTIONS),
            monotonic=time.monotonic,
            clock=time.time,
        )
        await poller.start(first=False)
        right = tryton.rpc.create("ir.model.access", {"model": "kit.order", "perm_read": False})
        try:
            with pytest.raises(Rejected, match="not allowed"):
                await poller.poll(complete=True)
            poller.confirm_deletes()
            assert poller.state() is None, "after a restart it would begin again"
        finally:
            tryton.rpc.call("model.ir.model.access.delete", [right])
        result = await poller.poll(complete=True)
        assert [stale.reason for stale in result.stale] == ["it is captured from now on"]
        assert poller.state() is not None


async def test_more_rows_at_once_than_are_told_apart_are_compared_now_and_again_when_late_ones_are_in(
    tryton: Tryton,
) -> None:
    now = [1000.0]
    of = erp(tryton)
    options = TrytonOptions.model_validate(OPTIONS)
    async with TrytonClient(of) as client:
        queries = PollQueries(client, max_window_rows=20)
        poller = ModelPoller(
            "kit.order",
            ModelTables(of, client),
            queries,
            None,
            options=options,
            monotonic=lambda: now[0],
            clock=lambda: now[0],
        )
        await poller.start(first=True)
        keys = tryton.rpc.call("model.kit.order.create", [{"order_no": str(n)} for n in range(40)])
        result = await poller.poll(complete=True)
        assert (result.changed, result.deleted) == ([], [])
        assert [(stale.reason, stale.deletes_only) for stale in result.stale] == [
            ("more than 20 rows changed at once", False)
        ]
        write(tryton, keys[0], qty=1)
        result = await poller.poll(complete=True)
        assert [changed.stamp.id for changed in result.changed] == [keys[0]], (
            "what comes later is told"
        )
        assert result.stale == []
        now[0] += 61
        result = await poller.poll(complete=True)
        assert [stale.reason for stale in result.stale] == ["rows came late amid very many others"]
        state = poller.state()
        assert state is not None
        assert state.compare_again_at == 0
    delete(tryton, *keys)
