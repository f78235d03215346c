"""Deleted rows: by the ERP's own log of them, and by what is missing where it can't be read."""

from __future__ import annotations

import time

from bridge.connector import DELETE, UPDATE, Stale, TableUse
from connectors.tryton.capture.source import TrytonSource
from tests.connectors.tryton.erp import system
from tests.connectors.tryton.follow import (
    OPTIONS,
    ORDER,
    SWITCHED,
    Follow,
    delete,
    erp,
    following,
    order,
    refusing,
    write,
)
from tests.connectors.tryton.kit_system import capturer
from tests.http_proxy import HttpProxy, nothing
from tests.services.tryton import CLERK, Tryton


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
