"""Transactions that overlap, on PostgreSQL: they appear in the order of their ends, and carry the
moments at which they began and ids that they were given in between.

All other tests of the connector run there as well with BRIDGE_TEST_TRYTON_ON=postgres.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest

from bridge.connector import CREATE, DELETE, UPDATE, Done
from bridge.model.errors import OutcomeUnknown, Rejected, RetryLater
from tests.connectors.tryton.follow import ORDER, Follow, erp, following, order, write
from tests.connectors.tryton.written_commands import effect, outcome, writing
from tests.services.tryton import PASSWORD, USER, Tryton
from tests.services.tryton_rpc import TrytonRpc
from tests.services.tryton_store import DATABASE, Database
from tests.waiting import until

ORDERS = "kit.order"
#: Models that tests hold up, and a row of each.
HOLD = {"kit.switched": {"name": "x"}, "kit.typed": {"char": "x"}}


@pytest.fixture
def tryton(tryton_on_postgres: Tryton) -> Tryton:
    database(tryton_on_postgres).server.start()
    return tryton_on_postgres


def database(tryton: Tryton) -> Database:
    assert isinstance(tryton.store, Database)
    return tryton.store


def waiting(tryton: Tryton) -> int:
    """How many transactions wait for another one."""
    [[count]] = tryton.store.run("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return int(count)


def session(tryton: Tryton) -> TrytonRpc:
    return TrytonRpc(tryton.address, DATABASE, USER, PASSWORD)


@asynccontextmanager
async def under_way(
    tryton: Tryton, *steps: Sequence[Any], behind: str = "kit.switched"
) -> AsyncIterator[None]:
    """A transaction of the ERP that has done these steps, and commits with the end of this."""
    last = [behind, "create", [HOLD[behind]]]
    with tryton.store.held(behind.replace(".", "_")):
        before = waiting(tryton)
        call = asyncio.create_task(
            asyncio.to_thread(session(tryton).call, "model.kit.order.together", [*steps, last])
        )
        await until(lambda: waiting(tryton) > before)
        yield
    await call


async def moved(tryton: Tryton, follow: Follow, seconds: float) -> None:
    """Rows are told whose moments are this much younger than now."""
    first = order(tryton)
    wanted = f"SELECT 1 FROM kit_order WHERE id = ? AND create_date > ? + interval '{seconds} s'"
    [[begun]] = tryton.store.run("SELECT create_date FROM kit_order WHERE id = ?", first)
    while not tryton.store.run(wanted, last := order(tryton), begun):
        await follow.read()
    await follow.until(lambda: (CREATE, ORDERS, last) in follow.emitted())


@pytest.mark.parametrize("restart", [False, True])
async def test_what_commits_late_is_told_behind_what_began_and_ended_meanwhile(
    tryton: Tryton, restart: bool
) -> None:
    old, gone = order(tryton, qty=0), order(tryton)
    of = erp(tryton, ORDER)
    steps: list[Any] = [
        [ORDERS, "create", [{"order_no": "late"}]],
        [ORDERS, "write", [old], {"qty": 2}],
        [ORDERS, "delete", [gone]],
    ]
    async with following(of) as follow:
        async with under_way(tryton, *steps):
            young = order(tryton)
            await follow.until(lambda: (CREATE, ORDERS, young) in follow.emitted())
            before = follow.emitted()
        if restart:
            await follow.source.close()
            async with following(of, follow.checkpoint) as again:
                await again.caught_up()
                emitted, last = again.emitted(), again.last
                assert [change.deletes_only for change in again.stale] == [True], "a row went"
        else:
            await follow.until(lambda: (DELETE, ORDERS, gone) in follow.emitted())
            emitted, last = follow.emitted()[len(before) :], follow.last
            assert follow.stale == []
    [late] = tryton.rpc.search(ORDERS, ["order_no", "=", "late"], ["id", "<", young])
    assert (CREATE, ORDERS, late) in emitted
    assert (UPDATE, ORDERS, old) in emitted
    assert last(old, "qty") == 2
    assert [change for change in emitted if change[2] == young] == [], "it was told"
    write(tryton, late, order_no="done")


async def test_rows_of_a_transaction_longer_than_the_overlap_are_found_by_their_ids_after_a_restart(
    tryton: Tryton,
) -> None:
    """Their ids lie below the last one that was told."""
    of, long_one = erp(tryton, ORDER, overlap=1), {"order_no": "long"}
    async with following(of) as follow:
        async with under_way(tryton, [ORDERS, "create", [long_one, long_one]]):
            await moved(tryton, follow, 1.5)
            await follow.source.close()
        long = tryton.rpc.search(ORDERS, ["order_no", "=", "long"])
        assert all((CREATE, ORDERS, key) not in follow.emitted() for key in long)
        assert all(key < follow.emitted()[-1][2] for key in long)
    async with following(of, follow.checkpoint) as again:
        await again.until(lambda: {(CREATE, ORDERS, key) for key in long} <= set(again.emitted()))
        await again.caught_up()
        assert again.stale == [], "nothing went"
        assert len(again.emitted()) == len(set(again.emitted()))
    for key in long:
        write(tryton, key, order_no="done")


async def test_a_guarded_command_that_waited_for_another_transaction_meets_its_change(
    tryton: Tryton,
) -> None:
    key = order(tryton, qty=0)
    guarded_rows = []
    command = effect(
        "WRITE kit.order(:key) qty=5", key, lambda _, row: guarded_rows.append(row), table=ORDERS
    )
    async with writing(tryton.url) as writer:
        await writer.prepare()
        async with under_way(tryton, [ORDERS, "write", [key], {"qty": 1}]):
            call = asyncio.create_task(outcome(writer, command))
            await until(lambda: waiting(tryton) == 2)
        result = await call
    assert isinstance(result, Rejected), result
    assert result.code == "conflict"
    assert guarded_rows, "it was guarded"
    assert tryton.rpc.read(ORDERS, [key], "qty")[0]["qty"] == 1


async def test_a_command_without_a_guard_comes_behind_the_transaction_that_it_waited_for(
    tryton: Tryton,
) -> None:
    key = order(tryton, qty=0)
    async with writing(tryton.url) as writer:
        await writer.prepare()
        async with under_way(tryton, [ORDERS, "write", [key], {"qty": 1, "customer": "C"}]):
            command = effect("WRITE kit.order(:key) qty=5", key, table=ORDERS)
            call = asyncio.create_task(outcome(writer, command))
            await until(lambda: waiting(tryton) == 2)
        assert isinstance(await call, Done)
    assert tryton.rpc.read(ORDERS, [key], "qty", "customer") == [
        {"id": key, "qty": 5, "customer": "C"}
    ]


@asynccontextmanager
async def contended(tryton: Tryton) -> AsyncIterator[None]:
    """Each write of an order comes in the way of another transaction."""
    tryton.store.run(
        "CREATE FUNCTION contended() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " 'could not serialize access due to concurrent update' USING ERRCODE = '40001'; END $$"
    )
    tryton.store.run(
        "CREATE TRIGGER contended BEFORE UPDATE ON kit_order"
        " FOR EACH ROW EXECUTE FUNCTION contended()"
    )
    try:
        yield
    finally:
        tryton.store.run("DROP FUNCTION contended CASCADE")


async def test_a_command_that_came_in_the_way_of_others_again_and_again_is_tried_later(
    tryton: Tryton,
) -> None:
    """Tryton gives up after a few tries. Nothing happened, so that nobody has to find out."""
    key = order(tryton, qty=0)
    command = effect("WRITE kit.order(:key) qty=5", key, table=ORDERS)
    async with writing(tryton.url) as writer:
        async with contended(tryton):
            result = await outcome(writer, command)
            assert isinstance(result, RetryLater), result
            assert "busy (could not serialize access)" in str(result)
        assert isinstance(await outcome(writer, command), Done)


async def test_a_command_whose_database_dies_is_unknown_until_it_is_back_and_asked(
    tryton: Tryton,
) -> None:
    """It may have been killed behind the commit."""
    key = order(tryton, qty=0)
    command = effect("WRITE kit.order(:key) qty=5", key, lambda *_: None, table=ORDERS)
    server = database(tryton).server
    async with writing(tryton.url) as writer:
        await writer.prepare()
        with suppress(psycopg.OperationalError), tryton.store.held("kit_order"):
            call = asyncio.create_task(outcome(writer, command))
            await until(lambda: waiting(tryton) == 1)
            server.kill()
            result = await call
        server.start()
        assert isinstance(result, OutcomeUnknown), result
        await until(lambda: answers(tryton))
        assert await writer.probe(command) is None
        assert isinstance(await outcome(writer, command), Done)


def answers(tryton: Tryton) -> bool:
    with suppress(OSError):
        return bool(tryton.rpc.search("res.user"))
    return False
