"""A loop that awaits one read for each row costs two queries a level; nobody notices anything else."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
from typing import Any

import pytest

from bridge.gateway.peers.group_registry import GroupRegistry
from bridge.gateway.peers.peer_group import MAX_GROUP_ROWS, group_rows
from bridge.model.errors import Rejected, RetryLater
from bridge.model.provenance import Provenance, TracedRow, peers_of
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.observe import PeersRead, RowsRead
from tests.gateway.memory_reader import PaddedTable
from tests.gateway.peers.versioned_erp import (
    COLUMNS,
    MAX_STALENESS_S,
    RELATIONS,
    PeerHarness,
    VersionedErp,
    filled,
)


async def read_order(harness: PeerHarness, demands: ReadDemands, order: str = "o0") -> list[Any]:
    """A handler with plain awaited loops: an order's lines, each line's product, its stocks, maker."""
    gateway = harness.gateway
    read = []
    for line in await gateway.query("lines", {"order_id": order}, 5000, demands):
        product = await gateway.related("lines", line, "product", demands)
        stocks = await gateway.related("products", product, "stocks", demands)
        maker = await gateway.related("products", product, "maker", demands)
        read.append((line.id, product.id, sorted(stock.id for stock in stocks), maker.id))
    return read


def expected(lines: int, first: int = 0) -> list[Any]:
    return [
        (f"l{n}", f"p{n}", [f"s{n}a", f"s{n}b"], f"m{n % 2}") for n in range(first, first + lines)
    ]


async def test_a_loop_takes_two_queries_a_level() -> None:
    harness = PeerHarness(filled(50))
    assert await read_order(harness, harness.demands()) == expected(50)
    assert harness.counts == [
        ("LINES", 1),
        ("PRODUCTS", 1),
        ("STOCKS", 1),
        ("MAKERS", 1),
        ("PRODUCTS", 49),
        ("STOCKS", 49),
        ("MAKERS", 1),
    ]


async def test_a_loop_of_two_rows_takes_what_it_took() -> None:
    harness = PeerHarness(filled(2))
    assert await read_order(harness, harness.demands()) == expected(2)
    assert len(harness.counts) == 7
    assert all(keys == 1 for _, keys in harness.counts)


async def test_handlers_that_run_at_once_still_share_queries() -> None:
    harness = PeerHarness(filled(10, orders=20))
    orders = await asyncio.gather(
        *(read_order(harness, harness.demands(), f"o{n}") for n in range(20))
    )
    assert orders == [expected(10, n * 10) for n in range(20)]
    assert len(harness.counts) <= 1 + 2 * 3


async def test_reads_that_are_gathered_need_no_peers() -> None:
    harness = PeerHarness(filled(9))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    await asyncio.gather(
        *(harness.gateway.related("lines", line, "product", demands) for line in lines)
    )
    assert harness.counts[1:] == [("PRODUCTS", 9)]
    assert not [notice for notice in harness.notices if isinstance(notice, PeersRead)]


async def test_no_row_is_read_that_was_neither_asked_for_nor_a_peers() -> None:
    harness = PeerHarness(filled(5, orders=3))
    await read_order(harness, harness.demands(), "o1")
    assert {row[0] for table, row in harness.erp.answered if table == "PRODUCTS"} == {
        f"p{n}" for n in range(5, 10)
    }
    assert len(harness.erp.answered) == 5 + 5 + 10 + 2


async def test_more_rows_than_a_query_takes_keys_are_read_in_pieces() -> None:
    harness = PeerHarness(filled(50, max_keys=20))
    demands = harness.demands()
    for line in await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands):
        await harness.gateway.related("lines", line, "product", demands)
    assert harness.counts[1:] == [("PRODUCTS", n) for n in (1, 20, 20, 9)]


async def test_a_get_by_a_field_that_leads_to_one_row_counts_as_its_relation() -> None:
    harness = PeerHarness(filled(30))
    demands = harness.demands()
    for line in await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands):
        product = await harness.gateway.get("products", line.product_id, demands)
        assert product is not None
        assert product.id == line.product_id
        await harness.gateway.related("products", product, "stocks", demands)
    assert harness.counts == [
        ("LINES", 1),
        *((table, keys) for keys in (1, 29) for table in ("PRODUCTS", "STOCKS")),
    ]


async def test_a_get_of_something_else_reads_no_peers() -> None:
    harness = PeerHarness(filled(3, orders=2))
    demands = harness.demands()
    await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    for number in (3, 4, 5):
        await harness.gateway.get("products", f"p{number}", demands)
    assert harness.counts[1:] == [("PRODUCTS", 1)] * 3


async def test_the_same_row_asked_for_twice_is_no_loop() -> None:
    harness = PeerHarness(filled(9))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    for _ in range(3):
        await harness.gateway.related("lines", lines[0], "product", demands)
    assert harness.counts[1:] == [("PRODUCTS", 1)]


@pytest.mark.parametrize(
    "wish",
    [{"peers": False}, {"fresh": True}, {"max_staleness": 0}, {"cause": None}],
    ids=["peers=False", "fresh", "max_staleness=0", "nobody's"],
)
async def test_whoever_wants_no_peers_has_none(wish: dict[str, Any]) -> None:
    harness = PeerHarness(filled(9))
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, harness.demands())
    demands = harness.demands()._replace(**wish)
    for line in lines:
        await harness.gateway.related("lines", line, "product", demands)
    assert harness.counts[1:] == [("PRODUCTS", 1)] * 9
    assert not [notice for notice in harness.notices if isinstance(notice, PeersRead)]


async def test_a_read_after_a_position_isnt_answered_with_a_peers() -> None:
    harness = PeerHarness(filled(9))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    for line in lines[:3]:
        await harness.gateway.related("lines", line, "product", demands)
    await harness.gateway.related(
        "lines", lines[5], "product", demands._replace(after="0001-0000000000000001-0000000000")
    )
    assert harness.counts[1:] == [("PRODUCTS", 1), ("PRODUCTS", 8), ("PRODUCTS", 1)]


async def test_a_gateway_may_have_no_peers() -> None:
    harness = PeerHarness(filled(9))
    harness.peers.switch_off()
    await read_order(harness, harness.demands())
    assert len(harness.counts) == 1 + 9 * 3


async def test_an_error_of_a_peer_reaches_only_who_asks_for_it() -> None:
    harness = PeerHarness(filled(9))
    harness.erp.poison = frozenset({"p4"})
    demands = harness.demands()
    read = []
    for line in await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands):
        if line.id == "l4":
            with pytest.raises(Rejected, match="can't be asked for"):
                await harness.gateway.related("lines", line, "product", demands)
        else:
            read.append((await harness.gateway.related("lines", line, "product", demands)).id)
    assert read == [f"p{n}" for n in range(9) if n != 4]
    # Halves until the one is alone, and the reads of it by itself.
    assert len(harness.counts) <= 2 + 1 + 2 * 4 + 1


async def test_a_row_of_a_peer_that_leads_nowhere_or_wrong_is_left_out() -> None:
    harness = PeerHarness(filled(4))
    harness.erp.write("LINES", ("l1", "o0", None))  # type: ignore[arg-type]
    demands = harness.demands()
    for line in await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands):
        await harness.gateway.related("lines", line, "product", demands)
    assert harness.counts[1:] == [("PRODUCTS", 1), ("PRODUCTS", 2)]


async def test_a_system_that_goes_away_is_an_error_of_who_asks() -> None:
    harness = PeerHarness(filled(9))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    await harness.gateway.related("lines", lines[0], "product", demands)
    harness.erp.away = True
    with pytest.raises(RetryLater):
        await harness.gateway.related("lines", lines[1], "product", demands)
    harness.erp.away = False
    for line in lines[1:]:
        assert (await harness.gateway.related("lines", line, "product", demands)) is not None


async def test_peers_are_loaded_once_however_slow_the_loop_is() -> None:
    harness = PeerHarness(filled(20))
    demands = harness.demands()
    for line in await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands):
        harness.erp.now += MAX_STALENESS_S + 1
        await harness.gateway.related("lines", line, "product", demands)
    assert harness.counts[1:] == [("PRODUCTS", 1), ("PRODUCTS", 19)] + [("PRODUCTS", 1)] * 18


async def test_an_answer_is_as_old_as_the_read_allows() -> None:
    harness = PeerHarness(filled(5))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    for line in lines[:2]:
        await harness.gateway.related("lines", line, "product", demands)
    harness.erp.write("PRODUCTS", ("p3", "other"), ("p4", "other"))
    harness.erp.now += 2
    old = await harness.gateway.related("lines", lines[3], "product", demands)
    assert old.maker_id == "m1"
    young = demands._replace(max_staleness=1.0)
    assert (await harness.gateway.related("lines", lines[4], "product", young)).maker_id == "other"


async def test_no_answer_is_older_than_the_attempt() -> None:
    """Whatever the event is about was committed before; rows may be held from an earlier attempt."""
    harness = PeerHarness(filled(5))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    for line in lines[:2]:
        await harness.gateway.related("lines", line, "product", demands)
    harness.erp.write("PRODUCTS", ("p3", "other"))
    later = harness.demands()
    assert (await harness.gateway.related("lines", lines[3], "product", later)).maker_id == "other"


class ShownLate:
    """What a standby shows: the transaction 7 from the query with this number on."""

    in_recovery = True

    def __init__(self, erp: VersionedErp, first: int) -> None:
        self._erp = erp
        self._first = first

    def contains(self, transaction: int) -> bool:
        return transaction != 7 or len(self._erp.queries) >= self._first

    def unseen(self) -> list[int]:
        return []


async def test_what_a_standby_answered_before_it_showed_the_event_is_no_answer() -> None:
    harness = PeerHarness(filled(5))
    erp = harness.erp
    demands = harness.demands(
        "agent", system="erp", position="0001-0000000000000007-0000000000", transaction="7"
    )
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    await harness.gateway.related("lines", lines[0], "product", demands)
    erp.visibility = ShownLate(erp, first=4)
    for line in lines[1:]:
        assert (await harness.gateway.related("lines", line, "product", demands)) is not None
    # The third query is missed and asked again, with the peers.
    assert harness.counts == [("LINES", 1), *(("PRODUCTS", n) for n in (1, 4, 4))]


async def test_what_a_reader_has_seen_never_goes_back() -> None:
    harness = PeerHarness(filled(9))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    for line in lines[:2]:
        product = await harness.gateway.related("lines", line, "product", demands)
        await harness.gateway.related("products", product, "stocks", demands)
    harness.erp.write("PRODUCTS", ("p3", "other"))
    harness.erp.write("STOCKS", ("s4a", "p5"), "s6b", ("s7c", "p7"))
    harness.erp.now += 0.5
    other = harness.demands()
    assert (await harness.gateway.get("products", "p3", other)).maker_id == "other"  # type: ignore[union-attr]
    await harness.gateway.get_many("stocks", ["s4a", "s6b"], other)
    await harness.gateway.query("stocks", {"id": "s7c"}, 10, other)

    products = {}
    stocks = {}
    for line in lines[3:]:
        product = await harness.gateway.related("lines", line, "product", demands)
        products[product.id] = product.maker_id
        rows = await harness.gateway.related("products", product, "stocks", demands)
        stocks[product.id] = sorted(row.id for row in rows)
    assert products["p3"] == "other"
    assert stocks == {
        "p3": ["s3a", "s3b"],
        "p4": ["s4b"],
        "p5": ["s4a", "s5a", "s5b"],
        "p6": ["s6a"],
        "p7": ["s7a", "s7b", "s7c"],
        "p8": ["s8a", "s8b"],
    }


async def test_a_cancelled_read_leaves_nothing_behind() -> None:
    harness = PeerHarness(filled(9))
    demands = harness.demands()
    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    await harness.gateway.related("lines", lines[0], "product", demands)
    harness.erp.pauses = [(50, 50)]
    asking = asyncio.create_task(harness.gateway.related("lines", lines[1], "product", demands))
    joining = asyncio.create_task(harness.gateway.related("lines", lines[2], "product", demands))
    while len(harness.erp.queries) < 3:
        await asyncio.sleep(0)
    asking.cancel()
    # Somebody else waits for the same query, which therefore goes on.
    assert (await joining).id == "p2"
    assert asking.cancelled()

    lines = await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands)
    await harness.gateway.related("lines", lines[0], "product", demands)
    count = len(harness.erp.queries)
    alone = asyncio.create_task(harness.gateway.related("lines", lines[1], "product", demands))
    while len(harness.erp.queries) == count:
        await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait((alone,))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_peers_are_counted_apart() -> None:
    harness = PeerHarness(filled(9))
    demands = harness.demands()
    for line in await harness.gateway.query("lines", {"order_id": "o0"}, 5000, demands):
        await harness.gateway.related("lines", line, "product", demands)
    read = [notice for notice in harness.notices if isinstance(notice, PeersRead)]
    assert {notice.entity for notice in read} == {"erp.products"}
    assert (sum(n.loaded for n in read), sum(n.served for n in read)) == (7, 7)
    assert sum(n.queries for n in harness.notices if isinstance(n, RowsRead)) == 3


async def test_groups_end_with_the_rows_that_a_handler_holds() -> None:
    harness = PeerHarness(filled(9))
    gc.collect()
    gc.disable()
    try:
        await read_order(harness, harness.demands())
        assert len(harness.peers.registry) == 0
        assert harness.peers.registry.held_rows == 0
    finally:
        gc.enable()


def traced(count: int) -> list[TracedRow]:
    table = PaddedTable("lines", "LINES", COLUMNS["LINES"], ("id",), relations=RELATIONS["LINES"])
    now: Any = None
    return [
        TracedRow({"id": str(n)}, Provenance("erp.lines", "legacy", now), table.entity)
        for n in range(count)
    ]


def test_rows_held_by_all_groups_are_bounded() -> None:
    registry = GroupRegistry(max_rows=100)
    cause = ReadCause("agent")
    rows = [traced(30) for _ in range(10)]
    for part in rows:
        for group in group_rows(part[0]._type, part, cause):
            registry.add(group)
    assert registry.held_rows <= 100
    assert [len(peers_of(part[0]).rows) for part in rows] == [0] * 7 + [30] * 3
    registry.grow(peers_of(rows[9][0]), 60)
    assert [len(peers_of(part[0]).rows) for part in rows] == [0] * 9 + [30]
    assert [group for group, _ in registry.leading_to(cause, "products")] == [peers_of(rows[9][0])]


def test_a_large_answer_is_several_groups() -> None:
    rows = traced(2 * MAX_GROUP_ROWS + 1)
    groups = list(group_rows(rows[0]._type, rows, ReadCause("agent")))
    assert [len(group.rows) for group in groups] == [MAX_GROUP_ROWS, MAX_GROUP_ROWS, 1]


def test_a_copy_of_a_row_has_no_peers() -> None:
    [row, *_] = rows = traced(3)
    assert len(list(group_rows(row._type, rows, ReadCause("agent")))) == 1
    for copied in (copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row))):  # noqa: S301
        assert copied == row
        assert peers_of(copied) is None


def test_the_harness_erp_remembers_its_states() -> None:
    erp = VersionedErp()
    erp.write("MAKERS", ("m0",))
    erp.write("MAKERS", "m0")
    assert [len(state["MAKERS"]) for state in erp.states_between(0.0 + erp.states[0][0], erp.now)]
