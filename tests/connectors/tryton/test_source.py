"""Capture of a real Tryton in its bad hours."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.connector import CREATE, DELETE, UPDATE, Batch, Change, Stale, System, TableUse
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from connectors.tryton.capture.model_poller import ModelPoller
from connectors.tryton.capture.poll import PollQueries
from connectors.tryton.capture.source import TrytonSource
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model_table import ModelTables
from connectors.tryton.options import TrytonOptions
from tests.connectors.tryton.erp import ErpUser, system
from tests.connectors.tryton.kit_system import capturer
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy, Rule, nothing
from tests.services.tryton import CLERK, OUTSIDER, PASSWORD, Tryton
from tests.services.tryton_rpc import TrytonRpc
from tests.waiting import until

ORDER, SWITCHED = TableUse("kit.order"), TableUse("kit.switched")
OPTIONS = {"poll": 0.05, "overlap": 60, "overlap_interval": 0}
PATIENCE = 90.0


def erp(tryton: Tryton, *uses: TableUse, user: str = "", **options: Any) -> System:
    """A system over these models, as the bridge's own user."""
    url = tryton.url_of(user or capturer(tryton))
    return system(url, tables=uses or (ORDER,), options=OPTIONS | options)


class Follow:
    """What a source tells, by model and id."""

    def __init__(self, source: TrytonSource, checkpoint: bytes) -> None:
        self.source = source
        self.checkpoint = checkpoint
        self.changes: list[Change] = []
        self.stale: list[Stale] = []
        self.troubles: Mapping[str, str] = {}

    async def read(self, limit: int = 100) -> Batch:
        batch = await self.source.read(limit, 0.1)
        self.checkpoint = batch.checkpoint
        self.changes += batch.changes
        self.stale += batch.stale
        self.troubles = batch.troubles
        return batch

    async def until(self, condition: Callable[[], Any]) -> None:
        async def read_until_it_holds() -> Any:
            holds = condition()
            if not holds:
                await self.read()
            return holds

        await until(
            read_until_it_holds,
            PATIENCE,
            describe=lambda: (self.emitted(), self.stale, self.troubles),
        )

    async def caught_up(self) -> None:
        """Whatever is there now is told."""
        wanted = (await self.read()).polls + 2
        while (await self.read()).polls < wanted:
            pass

    def emitted(self) -> list[tuple[int, str, int]]:
        """Op, model and id of each change."""
        return [
            (change.op, change.shape.table, (change.old if change.op == DELETE else change.new)[0])
            for change in self.changes
        ]

    def last(self, key: int, column: str) -> Any:
        """A value as it was told last."""
        change = next(
            item for item in reversed(self.changes) if item.op != DELETE and item.new[0] == key
        )
        names = [item.name for item in change.shape.columns]
        return change.new[names.index(column)]


@asynccontextmanager
async def following(of: System, after: bytes | None = None) -> AsyncIterator[Follow]:
    source = TrytonSource(of)
    try:
        yield Follow(source, await source.open(after))
    finally:
        await source.close()


def run(tryton: Tryton, statement: str, *values: Any) -> None:
    """Into the ERP's database, past the ERP."""
    tryton.store.run(statement, *values)


def stamp(**ago: float) -> str:
    """As the ERP's database holds times."""
    return (datetime.now(UTC) - timedelta(**ago)).replace(tzinfo=None).isoformat(" ")


def order(tryton: Tryton, **values: Any) -> int:
    return tryton.rpc.create("kit.order", {"order_no": "x", **values})


def write(tryton: Tryton, key: int, model: str = "kit.order", **values: Any) -> None:
    tryton.rpc.call(f"model.{model}.write", [key], values)


def delete(tryton: Tryton, *keys: int, model: str = "kit.order") -> None:
    tryton.rpc.call(f"model.{model}.delete", list(keys))


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


async def test_who_may_not_read_the_log_learns_of_deletions_by_the_ids_alone(
    tryton: Tryton,
) -> None:
    keys = [order(tryton) for _ in range(3)]
    of = erp(tryton, user=CLERK, reconcile=1.2)
    async with following(of) as follow:
        delete(tryton, *keys[:2])
        await follow.until(lambda: len(follow.changes) == 2)
        assert follow.emitted() == [(DELETE, "kit.order", key) for key in keys[:2]]


async def test_the_log_may_be_taken_away_and_given_back(tryton: Tryton) -> None:
    keys = [order(tryton) for _ in range(3)]
    user = tryton.rpc.the("res.user", ["login", "=", capturer(tryton)])
    of = erp(tryton, reconcile=3600)
    async with following(of) as follow:
        write(tryton, user, "res.user", administrator=False)
        try:
            await follow.caught_up()
            delete(tryton, keys[0])
            write(tryton, keys[1], qty=1)
            await follow.until(lambda: follow.changes)
            await follow.caught_up()
            assert follow.emitted() == [(UPDATE, "kit.order", keys[1])], "nobody tells of deletions"
        finally:
            write(tryton, user, "res.user", administrator=True)
        await follow.until(lambda: (DELETE, "kit.order", keys[0]) in follow.emitted())
        assert not follow.troubles


async def test_a_row_without_its_id_as_the_key_goes_by_comparing(tryton: Tryton) -> None:
    of = erp(tryton, TableUse("kit.order", ("order_no",), ("order_no", "qty")))
    key = order(tryton, order_no="named")
    async with following(of) as follow:
        delete(tryton, key)
        await follow.until(lambda: follow.stale)
        assert follow.stale == [Stale(("kit.order",), "rows were deleted", True, once=True)]
        assert follow.changes == []


# -- restarts ------------------------------------------------------------------------------


async def test_what_was_deleted_while_nobody_looked_is_compared_until_that_is_told(
    tryton: Tryton,
) -> None:
    keys = [order(tryton) for _ in range(3)]
    async with following(erp(tryton)) as follow:
        begun = follow.checkpoint
    delete(tryton, keys[1])
    async with following(erp(tryton), begun) as follow:
        opened = follow.checkpoint
        # Killed before it told anything: the checkpoint of the opening is all that there is.
    async with following(erp(tryton), opened) as follow:
        await follow.until(lambda: follow.stale)
        assert follow.stale == [
            Stale(("kit.order",), "rows were deleted while nothing was polled", True, once=True)
        ]
        checkpoint = follow.checkpoint
    async with following(erp(tryton), checkpoint) as follow:
        await follow.caught_up()
        assert (follow.stale, follow.changes) == ([], [])


async def test_deletions_of_which_a_part_was_told_are_made_up_for(tryton: Tryton) -> None:
    keys = [order(tryton) for _ in range(3)]
    async with following(erp(tryton)) as follow:
        delete(tryton, *keys)
        while not follow.changes:
            await follow.read(limit=1)
        assert follow.emitted() == [(DELETE, "kit.order", keys[0])]
        between = follow.checkpoint
    async with following(erp(tryton), between) as follow:
        await follow.until(lambda: follow.stale)
        assert follow.stale[0].deletes_only


async def test_a_model_that_is_added_to_the_file_is_read_whole(tryton: Tryton) -> None:
    async with following(erp(tryton)) as follow:
        begun = follow.checkpoint
    async with following(erp(tryton, ORDER, SWITCHED), begun) as follow:
        await follow.until(lambda: follow.stale)
        assert follow.stale == [Stale(("kit.switched",), "it is captured from now on", False)]


async def test_an_erp_that_restarts_in_the_midst_of_it_is_asked_again_from_the_checkpoint(
    private_tryton: Callable[..., Tryton],
) -> None:
    tryton = private_tryton()
    key = order(tryton)
    async with following(erp(tryton)) as follow:
        write(tryton, key, qty=1)
        await follow.until(lambda: follow.changes)
        tryton.kill()
        with pytest.raises(RetryLater, match="system 'erp'"):
            await follow.until(lambda: False)
        kept = follow.checkpoint
    tryton.start()
    write(tryton, key, qty=2)
    async with following(erp(tryton), kept) as follow:
        await follow.until(lambda: follow.changes)
        assert follow.last(key, "qty") == 2
        run(tryton, "DELETE FROM ir_session")
        another = TrytonRpc(tryton.address, "erp", "admin", PASSWORD)
        another.call("model.kit.order.write", [key], {"qty": 3})
        await follow.until(lambda: follow.last(key, "qty") == 3)


# -- what can't be read ----------------------------------------------------------------------


async def test_a_model_that_may_not_be_read_is_told_and_the_others_go_on(tryton: Tryton) -> None:
    of = erp(tryton, ORDER, TableUse("sale.sale"), TableUse("no.model"), user=OUTSIDER)
    async with following(of) as follow:
        key = order(tryton)
        await follow.until(lambda: follow.changes)
        assert follow.emitted() == [(CREATE, "kit.order", key)]
        assert set(follow.troubles) == {"sale.sale", "no.model"}
        assert 'not allowed to access "Sale"' in follow.troubles["sale.sale"]
        assert "Tryton has no model 'no.model'" in follow.troubles["no.model"]


async def test_a_wrong_password_is_tried_once_whatever_the_number_of_models(
    private_tryton: Callable[..., Tryton],
) -> None:
    tryton = private_tryton()
    of = system(tryton.url_of("admin", "not the passphrase"), tables=[ORDER, SWITCHED])
    source = TrytonSource(of)
    with pytest.raises(ConfigurationError, match="Tryton refuses user 'admin'"):
        await source.open(None)
    await source.close()
    assert tryton.calls().count("common.db.login") == 1


async def test_where_no_model_can_be_read_it_ends_with_all_the_reasons(tryton: Tryton) -> None:
    of = erp(tryton, TableUse("sale.sale"), TableUse("no.model"), user=OUTSIDER)
    source = TrytonSource(of)
    with pytest.raises(ConfigurationError, match=r'access "Sale"(.|\n)*no\.model'):
        await source.open(None)
    await source.close()


def refusing(request: ForwardedRequest) -> CannedResponse | None:
    """What stands before the ERP refuses all that is about one model."""
    return CannedResponse(403) if b"model.kit.order." in request.body else None


async def test_deletions_that_were_found_are_told_though_their_model_is_refused_by_then(
    tryton: Tryton,
) -> None:
    """They are found once; and that one model is refused must not end the others' capture."""
    first, second, gone = (order(tryton) for _ in range(3))
    async with HttpProxy(tryton.address).serving() as between:
        url = between.url(tryton.url_of(capturer(tryton)))
        of = system(url, tables=(ORDER, SWITCHED), options=OPTIONS)
        later = 0
        source = TrytonSource(of, monotonic=lambda: time.monotonic() + later)
        follow = Follow(source, await source.open(None))
        await follow.caught_up()
        # Its ids may be listed again.
        later = 60
        write(tryton, first, qty=1)
        write(tryton, second, qty=2)
        delete(tryton, gone)
        while not follow.changes:
            await follow.read(limit=1)
        assert follow.emitted() == [(UPDATE, "kit.order", first)]
        between.rule = refusing
        await follow.until(lambda: "kit.order" in follow.troubles)
        await follow.until(lambda: (DELETE, "kit.order", gone) in follow.emitted())
        between.rule = nothing
        await follow.until(lambda: (UPDATE, "kit.order", second) in follow.emitted())
        await source.close()


@pytest.mark.parametrize(
    "rule",
    [
        refusing,
        lambda _: CannedResponse(404),
        lambda _: CannedResponse(200, b"<html>Back soon", {"Content-Type": "text/html"}),
    ],
    ids=["refused", "not found", "a web page"],
)
async def test_what_stands_in_front_of_the_erp_for_a_while_does_not_end_its_capture(
    tryton: Tryton, rule: Rule
) -> None:
    async with HttpProxy(tryton.address).serving() as between:
        of = system(between.url(tryton.url_of(capturer(tryton))), tables=(ORDER,), options=OPTIONS)
        async with following(of) as follow:
            await follow.caught_up()
            between.rule = rule
            with pytest.raises(RetryLater):
                await follow.caught_up()
            again = TrytonSource(of)
            with pytest.raises(RetryLater):
                await again.open(follow.checkpoint)
            await again.close()
            key = order(tryton)
            between.rule = lambda _: None
            await follow.until(lambda: (CREATE, "kit.order", key) in follow.emitted())


async def test_a_password_that_is_wrong_by_now_is_tried_once_whatever_the_number_of_models(
    tryton: Tryton,
) -> None:
    async with HttpProxy(tryton.address).serving() as between:
        url = between.url(tryton.url_of(capturer(tryton)))
        async with following(system(url, tables=(ORDER, SWITCHED), options=OPTIONS)) as follow:
            await follow.caught_up()
            between.requests.clear()
            between.rule = lambda _: CannedResponse(401)
            with pytest.raises(RetryLater, match=r"Tryton refuses user .*; it was accepted before"):
                await follow.caught_up()
            logins = [call for call in between.requests if b"common.db.login" in call.body]
            assert len(logins) == 1


async def test_what_happened_while_a_right_was_withdrawn_is_told_once_it_is_back(
    tryton: Tryton,
) -> None:
    kept, gone = order(tryton), order(tryton)
    of = erp(tryton, ORDER, SWITCHED, user=CLERK, reconcile=3600)
    async with following(of) as follow:
        right = tryton.rpc.create(
            "ir.model.access",
            {"model": "kit.order", "perm_read": False, "perm_write": True, "perm_delete": True},
        )
        try:
            await follow.until(lambda: "kit.order" in follow.troubles)
            write(tryton, kept, qty=5)
            delete(tryton, gone)
            other = tryton.rpc.create("kit.switched", {"name": "b"})
            await follow.until(lambda: (CREATE, "kit.switched", other) in follow.emitted())
        finally:
            tryton.rpc.call("model.ir.model.access.delete", [right])
        await follow.until(lambda: (DELETE, "kit.order", gone) in follow.emitted())
        assert follow.last(kept, "qty") == 5
        assert not follow.troubles


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
