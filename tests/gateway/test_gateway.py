from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bridge.gateway import Gateway, Gateways
from bridge.gateway.batcher import Batcher
from bridge.gateway.limiter import Limiter
from bridge.model.errors import Rejected, RetryLater
from bridge.model.provenance import provenance
from bridge.model.read_demands import ReadDemands
from bridge.model.specs import SystemLimits
from bridge.model.types import Relation
from bridge.observe import Notice, RowsRead
from tests.gateway.memory_reader import MemoryReader, PaddedTable
from tests.waiting import WAIT_TIMEOUT_S

CUSTOMER = PaddedTable("customer", "KNA1", ["ID", "NAME"], ["id"])
ORDER = PaddedTable(
    "sales_order",
    "VBAK",
    ["NO", "CUSTOMER"],
    ["no"],
    relations=[
        Relation("lines", "order_line", by="no"),
        Relation("customer", "customer", from_field="customer"),
    ],
    padded=["no", "customer"],
)
LINE = PaddedTable("order_line", "VBAP", ["NO", "POS", "ITEM"], ["no", "pos"], padded=["no", "pos"])


def legacy(**more: Any) -> MemoryReader:
    return MemoryReader(
        {
            "KNA1": [{"ID": f"{n:04}", "NAME": f"name {n}"} for n in range(1, 501)],
            "VBAK": [{"NO": f"{n:04}", "CUSTOMER": f"{n:04}"} for n in range(1, 11)],
            "VBAP": [
                {"NO": f"{n:04}", "POS": f"{p:04}", "ITEM": f"{n}.{p}"}
                for n in range(1, 11)
                for p in (1, 2)
            ],
        },
        **more,
    )


def gateway(reader: MemoryReader, limits: SystemLimits | None = None, **more: Any) -> Gateway:
    tables = {t.entity.name: t for t in (CUSTOMER, ORDER, LINE)}
    return Gateway("erp", reader, tables, limits or SystemLimits(), **more)


async def test_reads_that_wait_at_the_same_time_become_one_query() -> None:
    reader = legacy()
    seen: list[Notice] = []
    door = gateway(reader, observer=seen.append)
    rows = await asyncio.gather(*(door.get("customer", str(n)) for n in range(1, 501)))
    assert [row.name for row in rows if row] == [f"name {n}" for n in range(1, 501)]
    assert len(reader.queries) == 1
    assert isinstance(seen[0], RowsRead)
    assert (seen[0].reads, seen[0].queries) == (500, 1)


async def test_the_same_key_is_asked_for_once_and_in_the_sources_own_form() -> None:
    reader = legacy()
    door = gateway(reader)
    unpadded, same = await asyncio.gather(door.get("customer", "7"), door.get("customer", "0007"))
    assert unpadded is not None
    assert unpadded == same
    assert unpadded.id == "7"
    assert reader.queries == [("KNA1", ("ID",), [("0007",)])]


async def test_a_query_never_has_more_keys_than_the_source_takes() -> None:
    reader = legacy(max_keys=200)
    await gateway(reader).get_many("customer", [str(n) for n in range(1, 501)])
    assert [len(keys) for _, _, keys in reader.queries] == [200, 200, 100]


async def test_get_many_is_aligned_with_none_for_what_is_missing() -> None:
    rows = await gateway(legacy()).get_many("customer", ["2", "999", "1", "2"])
    assert [row and row.id for row in rows] == ["2", None, "1", "2"]


async def test_readers_who_come_while_all_connections_are_busy_share_the_next_query() -> None:
    reader = legacy(gate=asyncio.Event())
    door = gateway(reader, SystemLimits(connections=1))
    first = asyncio.create_task(door.get("customer", "1"))
    while not reader.queries:
        await asyncio.sleep(0)
    later = []
    for n in range(2, 6):
        later.append(asyncio.create_task(door.get("customer", str(n))))
        await asyncio.sleep(0.001)
    assert reader.gate is not None
    reader.gate.set()
    await asyncio.gather(first, *later)
    assert [len(keys) for _, _, keys in reader.queries] == [1, 4]


async def test_a_read_never_joins_a_query_that_has_begun() -> None:
    """Otherwise a read could miss what was committed before it was asked for."""
    reader = legacy(gate=asyncio.Event())
    door = gateway(reader)
    first = asyncio.create_task(door.get("customer", "1"))
    while not reader.queries:
        await asyncio.sleep(0)
    second = asyncio.create_task(door.get("customer", "1"))
    while len(reader.queries) < 2:
        await asyncio.sleep(0)
    assert reader.gate is not None
    reader.gate.set()
    await asyncio.gather(first, second)


async def test_connections_stay_under_the_ceiling() -> None:
    reader = legacy(max_keys=1, gate=asyncio.Event())
    door = gateway(reader, SystemLimits(connections=3))
    rows = asyncio.create_task(door.get_many("customer", [str(n) for n in range(1, 30)]))
    while reader.at_once < 3:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert reader.gate is not None
    reader.gate.set()
    assert len(await rows) == 29
    assert reader.most_at_once == 3


async def test_a_poisonous_key_fails_alone() -> None:
    reader = legacy(poison=frozenset({"0013"}))
    door = gateway(reader)
    answers = await asyncio.gather(
        *(door.get("customer", str(n)) for n in range(1, 65)), return_exceptions=True
    )
    failed = [n for n, answer in enumerate(answers, 1) if isinstance(answer, BaseException)]
    assert failed == [13]
    assert isinstance(answers[12], Rejected)
    assert len(reader.queries) <= 2 * 7


async def test_a_cancelled_reader_cancels_neither_the_query_nor_its_neighbours() -> None:
    reader = legacy(gate=asyncio.Event())
    door = gateway(reader)
    waiting = [asyncio.create_task(door.get("customer", str(n))) for n in (1, 1, 2)]
    while not reader.queries:
        await asyncio.sleep(0)
    waiting[0].cancel()
    assert reader.gate is not None
    reader.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert [(await task).id for task in waiting[1:]] == ["1", "2"]  # type: ignore[union-attr]
    assert len(reader.queries) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda door: door.get("customer", "1"),
        lambda door: door.get_many("customer", ["1", "2"]),
        lambda door: door.query("customer", {"name": "name 1"}, 5),
    ],
    ids=["get", "get_many", "query"],
)
async def test_a_query_that_nobody_waits_for_any_more_is_cancelled(
    read: Callable[[Gateway], Coroutine[Any, Any, Any]],
) -> None:
    reader = legacy(gate=asyncio.Event())
    door = gateway(reader, SystemLimits(connections=1))
    waiting = [asyncio.create_task(read(door)) for _ in range(2)]
    while not reader.queries:
        await asyncio.sleep(0)
    for task in waiting:
        assert reader.at_once == 1
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert reader.at_once == 0
    assert reader.gate is not None
    reader.gate.set()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        assert await read(door)


async def test_what_nobody_waits_for_any_more_is_not_asked() -> None:
    reader = legacy()
    door = gateway(reader)
    gone = asyncio.create_task(door.get("customer", "1"))
    await asyncio.sleep(0)
    gone.cancel()
    await door.get("customer", "2")
    assert [keys for _, _, keys in reader.queries] == [[("0002",)]]


async def test_everybody_hears_that_the_system_is_away_and_the_next_read_works() -> None:
    reader = legacy(away=True)
    door = gateway(reader)
    answers = await asyncio.gather(
        *(door.get("customer", str(n)) for n in (1, 2)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [RetryLater, RetryLater]
    assert len(reader.queries) == 1
    reader.away = False
    assert await door.get("customer", "1") is not None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such thing"),
        SystemExit(3),
        GeneratorExit(),
        BaseExceptionGroup("several", [SystemExit(3)]),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_reader_fails_by_is_told_to_everybody_and_the_next_read_works(
    error: BaseException,
) -> None:
    reader = legacy()
    fetch = reader.fetch

    async def fail(*_: Any) -> Any:
        raise error

    reader.fetch = fail  # type: ignore[method-assign, assignment]
    door = gateway(reader, SystemLimits(connections=1))
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        answers = await asyncio.gather(
            *(door.get("customer", str(n)) for n in (1, 2)), return_exceptions=True
        )
        assert all(isinstance(answer, Exception) for answer in answers)
        reader.fetch = fetch  # type: ignore[method-assign]
        assert await door.get("customer", "1") is not None


@pytest.mark.parametrize("values", [None, [], [1, 2]], ids=["none", "too few", "too many"])
async def test_an_answer_that_fits_no_keys_fails_its_readers_only(values: Any) -> None:
    async def answer(keys: list[int], requested: int) -> Any:
        return values

    batcher: Batcher[int, int] = Batcher(answer, Limiter(SystemLimits()), 10)
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        with pytest.raises((TypeError, ValueError)):
            await batcher.load(1)


async def test_relations_of_many_rows_are_one_query_each() -> None:
    reader = legacy()
    door = gateway(reader)
    orders = await door.query("sales_order", {}, 10)
    lines = await door.related_many("sales_order", orders, "lines")
    customers = await door.related_many("sales_order", orders, "customer")
    assert [[line.item for line in rows] for rows in lines[:2]] == [["1.1", "1.2"], ["2.1", "2.2"]]
    assert [customer.id for customer in customers] == [str(n) for n in range(1, 11)]
    assert len(reader.queries) == 3


async def test_a_query_takes_conditions_with_several_values() -> None:
    reader = legacy()
    rows = await gateway(reader).query("order_line", {"no": ["1", "2"], "pos": "2"}, 10)
    assert [row.item for row in rows] == ["1.2", "2.2"]
    assert reader.queries == [("VBAP", ("NO", "POS"), [("0001", "0002"), ("0002", "0002")])]


async def test_an_answer_tells_where_it_is_from() -> None:
    systems = Gateways({"erp": gateway(legacy())})
    row = await systems.get("erp.customer", {"id": "1"})
    origin = provenance(row)
    assert (origin.system, origin.entity, origin.source) == ("erp", "erp.customer", "legacy")


@pytest.mark.parametrize(
    ("entity", "key", "message"),
    [
        ("erp.nothing", "1", "it has customer, order_line, sales_order"),
        ("crm.customer", "1", "there are gateways of erp"),
        ("erp.order_line", "1", "give all of them by name"),
        ("erp.customer", {"no": "1"}, "has the fields id, not no"),
    ],
)
async def test_a_read_that_cannot_be_meant_says_what_there_is(
    entity: str, key: Any, message: str
) -> None:
    systems = Gateways({"erp": gateway(legacy())})
    with pytest.raises(Rejected, match=message):
        await systems.get(entity, key)


async def test_demands_that_contradict_each_other_are_refused_by_every_read() -> None:
    reader = legacy()
    systems = Gateways({"erp": gateway(reader)})
    row = await systems.get("erp.sales_order", "1")
    bad = ReadDemands(fresh=True, max_staleness=1.0)
    for read in (
        systems.get("erp.sales_order", "1", bad),
        systems.get_many("erp.sales_order", ["1"], bad),
        systems.related("erp.sales_order", row, "lines", bad),
        systems.related_many("erp.sales_order", [row], "lines", bad),
        systems.query("erp.sales_order", {"no": "1"}, 1, bad),
    ):
        with pytest.raises(Rejected, match="pass one of them") as refused:
            await read
        assert refused.value.code == "bad_freshness"
    assert len(reader.queries) == 1


async def test_closing_answers_those_who_wait() -> None:
    reader = legacy(gate=asyncio.Event())
    door = gateway(reader, SystemLimits(connections=1))
    waiting = [asyncio.create_task(door.get("customer", str(n))) for n in (1, 2)]
    while not reader.queries:
        await asyncio.sleep(0)
    late = asyncio.create_task(door.get("customer", "3"))
    await asyncio.sleep(0)
    await door.close()
    answers = await asyncio.gather(*waiting, late, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RetryLater}
    assert reader.closed
