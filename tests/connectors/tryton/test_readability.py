"""Models that can't be read, a login that is refused, an ERP that is away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.connector import CREATE, DELETE, TableUse
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.tryton.capture.source import TrytonSource
from tests.connectors.tryton.erp import system
from tests.connectors.tryton.follow import (
    OPTIONS,
    ORDER,
    SWITCHED,
    delete,
    erp,
    following,
    order,
    refusing,
    run,
    write,
)
from tests.connectors.tryton.kit_system import capturer
from tests.http_proxy import CannedResponse, HttpProxy, Rule
from tests.services.tryton import CLERK, OUTSIDER, PASSWORD, Tryton
from tests.services.tryton_rpc import TrytonRpc


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
