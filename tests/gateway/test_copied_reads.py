"""Reads with a copy: what it answers, when the legacy system answers, and what is never answered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from bridge.gateway import Gateway
from bridge.model.errors import DeadlineExceeded, Rejected, RetryLater
from bridge.model.provenance import provenance
from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import CacheSpec
from tests.gateway.copied_erp import (
    CopiedErp,
    LaggingCopy,
    erp_gateway,
    on_behalf,
    position,
    tables_read,
)

FRESH = ReadDemands(fresh=True)


def receipt(at: str | None, outcome: Outcome = Outcome.SUCCEEDED) -> Receipt:
    return Receipt("c", outcome, None, None, None, None, at, datetime(2026, 1, 1, tzinfo=UTC))


def sample_erp() -> CopiedErp:
    """A customer with two orders, in three transactions."""
    erp = CopiedErp()
    erp.write("customers", 1, "Ada")
    erp.write("orders", 7, 1, "first")
    erp.write("orders", 8, 1, "second")
    return erp


@pytest.fixture
def erp() -> CopiedErp:
    return sample_erp()


@pytest.fixture
def copy(erp: CopiedErp) -> LaggingCopy:
    copy = LaggingCopy(erp)
    copy.follow()
    return copy


@pytest.fixture
def door(erp: CopiedErp, copy: LaggingCopy) -> Gateway:
    return erp_gateway(erp, copy)


async def notes(door: Gateway, demands: ReadDemands = NO_DEMANDS) -> list[str]:
    return [row.note for row in await door.related("customer", {"id": 1}, "orders", demands)]


async def test_what_was_read_is_answered_by_the_cache(erp: CopiedErp, door: Gateway) -> None:
    for _ in range(3):
        row = await door.get("order", 7)
        assert row is not None
        assert (row.note, row.customer) == ("first", 1)
        assert await door.get("order", 9) is None
        assert [each and each.note for each in await door.get_many("order", [8, 9, 7])] == [
            "second",
            None,
            "first",
        ]
        assert await notes(door) == ["first", "second"]
        buyer = await door.related("order", row, "buyer")
        assert buyer.name == "Ada"
        assert [each.id for each in await door.query("order", {"customer": 1}, 5)] == [7, 8]
    assert erp.queries == [
        ("orders", ((7,),)),
        ("orders", ((9,),)),
        ("orders", ((8,),)),
        ("orders", ((1,),)),
        ("customers", ((1,),)),
    ]
    assert provenance(await door.get("order", 7)).source == "cache"


async def test_changes_are_in_after_they_were_applied(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    before = await door.get("order", 7)
    assert await notes(door) == ["first", "second"]
    assert await door.get("order", 9) is None
    erp.write("orders", 7, 1, "changed")
    erp.write("orders", 9, 1, "new")
    erp.delete("orders", 8)
    copy.follow()
    row = await door.get("order", 7)
    assert row is not None
    assert before is not None
    assert (before.note, row.note) == ("first", "changed")
    assert (await door.get("order", 9)).note == "new"  # type: ignore[union-attr]
    assert await door.get("order", 8) is None
    assert sorted(await notes(door)) == ["changed", "new"]


async def test_an_answer_is_as_old_as_it_may_be_and_no_older(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    await door.get("order", 7)
    copy.barriers = False
    erp.write("orders", 7, 1, "changed")
    before = len(erp.queries)
    assert (await door.get("order", 7, ReadDemands(max_staleness=60))).note == "first"  # type: ignore[union-attr]
    assert len(erp.queries) == before
    assert (await door.get("order", 7, ReadDemands(max_staleness=0))).note == "changed"  # type: ignore[union-attr]
    assert len(erp.queries) == before + 1
    assert copy.waits, "a barrier is waited for first"


async def test_a_barrier_proves_what_the_cache_has(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    await door.get("order", 7)
    before = len(erp.queries)
    assert await door.get("order", 7, ReadDemands(max_staleness=0))
    assert (len(erp.queries), len(copy.waits)) == (before, 1)
    copy.has_barriers = False
    assert await door.get("order", 7, ReadDemands(max_staleness=0))
    assert (len(erp.queries), len(copy.waits)) == (before + 1, 1)


async def test_fresh_asks_the_legacy_system_each_time(erp: CopiedErp, door: Gateway) -> None:
    for count in range(1, 4):
        assert provenance(await door.get("order", 7, FRESH)).source == "legacy"
        assert len(erp.queries) == count
    await door.query("order", {"customer": 1}, 5, FRESH)
    await door.query("order", {"customer": 1}, 5, FRESH)
    assert len(erp.queries) == 5


async def test_in_doubt_the_legacy_system_is_asked(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    patient = ReadDemands(max_staleness=float("inf"))
    await door.get("order", 7)
    await notes(door)
    before = len(erp.queries)
    copy.doubts.add("order")
    await door.get("order", 7, patient)
    await notes(door, patient)
    assert len(erp.queries) == before + 2
    copy.doubts.clear()
    key = copy.tables["order"].stored_key((8,), (8,))
    assert key is not None
    copy.doubtful.add(key)
    await door.get("order", 7, patient)
    assert len(erp.queries) == before + 2
    await door.get("order", 8, patient)
    await notes(door, patient)
    assert len(erp.queries) == before + 4


async def test_an_entity_that_is_not_captured_is_read_live(erp: CopiedErp) -> None:
    copy = LaggingCopy(erp, ["customer"])
    copy.follow()
    door = erp_gateway(erp, copy)
    for _ in range(2):
        assert await door.get("order", 7, on_behalf(3))
        assert await door.query("order", {"customer": 1}, 5, on_behalf(3))
    assert len(erp.queries) == 4
    assert len(copy.cache) == 0


async def test_a_handler_never_sees_a_state_before_its_event(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    """The follower lags; a barrier would take too long."""
    copy.barriers = False
    await door.get("order", 7)
    assert await notes(door) == ["first", "second"]
    event = erp.write("orders", 7, 1, "changed")
    row = await door.get("order", 7, on_behalf(event, max_staleness=60.0))
    assert row is not None
    assert row.note == "changed"
    assert sorted(await notes(door, on_behalf(event, max_staleness=60.0))) == ["changed", "second"]
    # What shows the event's transaction is its state, though the follower has not proved it.
    before, waited = len(erp.queries), len(copy.waits)
    assert await door.get("order", 7, on_behalf(event))
    assert (len(erp.queries), len(copy.waits)) == (before, waited)


async def test_a_read_of_another_system_s_event_is_not_bound(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    await door.get("order", 7)
    demands = on_behalf(99)
    cause = demands.cause
    assert cause is not None
    other = demands._replace(cause=cause._replace(system="crm"))
    assert await door.get("order", 7, other)
    assert not copy.waits


async def test_a_server_that_does_not_show_the_event_is_asked_again(
    erp: CopiedErp, door: Gateway
) -> None:
    event = erp.write("orders", 7, 1, "changed")
    erp.visible = event - 1

    erp.shows_after = 3
    row = await door.get("order", 7, on_behalf(event))
    assert row is not None
    assert row.note == "changed"
    assert len(erp.queries) == 4


@pytest.mark.parametrize("copied", [False, True])
async def test_a_server_that_never_shows_the_event_is_an_error(
    erp: CopiedErp, copy: LaggingCopy, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.gateway.demanded_reads.SHOW_WAIT_S", 0.05)
    door = erp_gateway(erp, copy if copied else None)
    copy.barriers = False
    event = erp.write("orders", 7, 1, "changed")
    erp.visible = event - 1
    for read in (
        door.get("order", 7, on_behalf(event)),
        door.get("order", 9, on_behalf(event)),
        door.get_many("order", [9], on_behalf(event)),
        door.query("order", {"customer": 5}, 1, on_behalf(event)),
    ):
        with pytest.raises(RetryLater, match="doesn't show yet"):
            await read
    with pytest.raises(DeadlineExceeded, match=r"not read within 0\.02 s"):
        await door.get("order", 7, on_behalf(event, deadline=0.02))
    assert await door.get("order", 7), "who isn't bound is answered"


async def test_without_a_copy_a_bound_read_is_live_and_shows_its_event(erp: CopiedErp) -> None:
    door = erp_gateway(erp, None)
    assert await door.get("order", 7, on_behalf(3))
    assert (await door.get_many("order", [7, 8], on_behalf(3)))[1]
    assert tables_read(erp) == ["orders", "orders"]


async def test_a_standby_does_not_prove_a_receipt(erp: CopiedErp, copy: LaggingCopy) -> None:
    door = erp_gateway(erp, None)
    assert await door.get("order", 7, ReadDemands(after=receipt(position(3)), deadline=1.0))
    erp.in_recovery = True
    with pytest.raises(DeadlineExceeded):
        await door.get("order", 7, ReadDemands(after=receipt(position(3)), deadline=0.05))
    with pytest.raises(DeadlineExceeded):
        await door.get("order", 7, ReadDemands(after=receipt(None), deadline=0.05))
    assert await door.get("order", 7, on_behalf(3)), "its transaction is shown"


async def test_read_your_own_writes(erp: CopiedErp, copy: LaggingCopy, door: Gateway) -> None:
    """With a negative entry for the row that the command made, and a follower that lags."""
    copy.barriers = False
    assert await door.get("order", 9) is None
    assert await notes(door) == ["first", "second"]
    written = erp.write("orders", 9, 1, "mine")
    assert await door.get("order", 9) is None
    after = ReadDemands(after=receipt(position(written)))
    assert (await door.get("order", 9, after)).note == "mine"  # type: ignore[union-attr]
    assert await notes(door, after) == ["first", "second", "mine"]
    assert await notes(door, ReadDemands(after=position(written))) == ["first", "second", "mine"]


async def test_what_was_held_before_a_receipt_does_not_prove_it(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    copy.barriers = False
    await door.get("order", 7, on_behalf(3))
    written = erp.write("orders", 7, 1, "mine")
    for demands in (
        ReadDemands(after=receipt(position(written))),
        on_behalf(3, after=receipt(position(written))),
        on_behalf(3, after=position(written)),
    ):
        row = await door.get("order", 7, demands)
        assert row is not None
        assert row.note == "mine"
        copy.cache.epoch("order")
        await door.get("order", 7)


async def test_a_receipt_without_a_position_drops_and_reads_through(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    copy.barriers = False
    assert await door.get("order", 9) is None
    assert await notes(door) == ["first", "second"]
    erp.write("orders", 9, 1, "mine")
    assert (await door.get("order", 9, ReadDemands(after=receipt(None)))).note == "mine"  # type: ignore[union-attr]
    assert await notes(door) == ["first", "second", "mine"], "its lists went"
    rejected = ReadDemands(after=receipt(None, Outcome.REJECTED))
    before = len(erp.queries)
    assert await door.get("order", 9, rejected)
    assert len(erp.queries) == before, "it had no effect"


async def test_what_an_agent_has_read_never_goes_back(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    copy.barriers = False
    await door.get("order", 7)
    older = copy.held("order", 7)
    erp.write("orders", 7, 1, "changed")
    assert await door.get("order", 7, on_behalf(fresh=True))
    copy.hold(older)
    other = await door.get("order", 7, on_behalf(reader="another", max_staleness=60.0))
    assert other is not None
    assert other.note == "first"
    row = await door.get("order", 7, on_behalf(max_staleness=60.0))
    assert row is not None
    assert row.note == "changed"


async def test_absence_that_was_read_never_goes_back(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    copy.barriers = False
    await door.get("order", 7)
    older = copy.held("order", 7)
    erp.delete("orders", 7)
    assert await door.get("order", 7, on_behalf(fresh=True)) is None
    assert await door.get("order", 7, on_behalf(max_staleness=60.0)) is None
    assert len(erp.queries) == 2, "its absence is held, and as good as a row"
    copy.hold(older)
    assert await door.get("order", 7, on_behalf(max_staleness=60.0)) is None


async def test_a_list_is_no_older_than_what_was_read_of_its_members(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    copy.barriers = False
    assert await notes(door) == ["first", "second"]
    erp.write("orders", 7, 1, "changed")
    assert await door.get("order", 7, on_behalf(fresh=True))
    held = await notes(door, on_behalf(reader="another", max_staleness=60.0))
    assert held == ["first", "second"]
    assert sorted(await notes(door, on_behalf(max_staleness=60.0))) == ["changed", "second"]


async def test_a_row_is_no_older_than_the_list_in_which_it_was_read(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    copy.barriers = False
    await door.get("order", 7)
    older = copy.held("order", 7)
    erp.write("orders", 7, 1, "changed")
    listed = await door.query("order", {"note": "changed"}, 5, on_behalf())
    assert [row.id for row in listed] == [7]
    copy.hold(older)
    row = await door.get("order", 7, on_behalf(max_staleness=60.0))
    assert row is not None
    assert row.note == "changed"


async def test_a_live_answer_shows_what_was_applied_to_the_row(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent may have read it from the copy; a standby that lags would take it back."""
    monkeypatch.setattr("bridge.gateway.demanded_reads.SHOW_WAIT_S", 0.05)
    await door.get("order", 7)
    erp.write("orders", 7, 1, "changed")
    copy.follow()
    seen = await door.get("order", 7, on_behalf())
    assert seen is not None
    assert seen.note == "changed"
    copy.cache.evict(copy.scope, "order", b"\x0e")
    erp.visible = 3
    with pytest.raises(RetryLater):
        await door.get("order", 7, on_behalf())


async def test_a_read_joins_no_query_that_was_sent_when_its_bound_arose(
    erp: CopiedErp, door: Gateway
) -> None:
    erp.gate = asyncio.Event()
    early = asyncio.create_task(door.get("order", 7, FRESH))
    while not erp.queries:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    event = erp.write("orders", 7, 1, "changed")
    late = asyncio.create_task(door.get("order", 7, on_behalf(event)))
    for _ in range(100):
        await asyncio.sleep(0)
    erp.gate.set()
    first, second = await early, await late
    assert len(erp.queries) == 2
    assert first is not None
    assert second is not None
    assert (first.note, second.note) == ("first", "changed")


async def test_a_late_answer_brings_nothing_old_back(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    erp.gate = asyncio.Event()
    slow = asyncio.create_task(door.get("order", 8))
    while not erp.queries:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate, erp.gate = erp.gate, None
    erp.delete("orders", 8)
    copy.follow()
    assert await door.get("order", 7, FRESH), "a read that shows the delete comes back first"
    gate.set()
    assert await slow, "it began before"
    assert await door.get("order", 8) is None


@pytest.mark.parametrize("held", [True, False])
async def test_no_read_waits_past_its_deadline(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway, held: bool
) -> None:
    if held:
        await door.get("order", 7)
    copy.barriers = False
    erp.gate = asyncio.Event()
    began = monotonic()
    with pytest.raises(DeadlineExceeded, match="give the read more time"):
        await door.get("order", 7, ReadDemands(max_staleness=0, deadline=0.1))
    assert monotonic() - began < 5
    if held:
        [(entity, until)] = copy.waits
        assert entity == "order"
        assert until - began < 0.09, "a share of it is left for the legacy system"


async def test_a_row_in_somebody_s_hand_claims_more_only_while_it_is_held(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    await door.get("order", 7)
    row = await door.get("order", 7)
    assert row is not None
    first = provenance(row)
    copy.follow()
    proved = provenance(row)
    assert proved.as_of > first.as_of
    assert proved.position == position(3)
    erp.write("orders", 7, 1, "changed")
    copy.follow()
    frozen = provenance(row)
    copy.follow()
    assert provenance(row).position == frozen.position == position(3)
    assert abs(provenance(row).as_of - frozen.as_of) < timedelta(milliseconds=50)
    assert provenance(row).as_of <= proved.as_of + timedelta(milliseconds=50)
    again = await door.get("order", 7)
    assert provenance(again).position == position(4)


async def test_absence_and_lists_are_asked_for_where_only_the_source_knows_equality(
    erp: CopiedErp, door: Gateway
) -> None:
    """`logins` may be compared without case: a row `ADA` may appear that equals `ada`."""
    for _ in range(2):
        assert await door.get("login", "ada") is None
    assert len(erp.queries) == 2
    erp.write("logins", "ada")
    for _ in range(2):
        assert await door.get("login", "ada")
    assert len(erp.queries) == 3, "a row that is held is one"


async def test_a_list_by_a_coarse_text_goes_with_every_change_of_its_entity(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    for _ in range(2):
        assert await door.query("customer", {"name": "Ada"}, 5)
    assert len(erp.queries) == 1
    erp.write("customers", 2, "ADA")
    copy.follow()
    assert await door.query("customer", {"name": "Ada"}, 5)
    assert len(erp.queries) == 2


async def test_an_answer_that_a_limit_has_cut_says_so_and_is_no_list(
    erp: CopiedErp, door: Gateway
) -> None:
    for _ in range(2):
        cut = await door.query("order", {"customer": 1}, 1)
        assert (len(cut), cut.truncated) == (1, True)
    assert len(erp.queries) == 2
    whole = await door.query("order", {"customer": 1}, 3)
    assert (len(whole), whole.truncated) == (2, False)
    held = await door.query("order", {"customer": 1}, 1)
    assert (len(held), held.truncated, len(erp.queries)) == (1, True, 3)


async def test_rows_of_a_query_are_held_by_their_keys(erp: CopiedErp, door: Gateway) -> None:
    await door.query("order", {}, 10)
    assert await door.get("order", 7)
    assert len(erp.queries) == 1


async def test_a_query_of_several_values_is_answered_by_their_lists(
    erp: CopiedErp, door: Gateway
) -> None:
    erp.write("orders", 10, 2, "third")
    where = {"customer": [1, 2, 3]}
    assert [row.id for row in await door.query("order", where, 10)] == [7, 8, 10]
    assert [row.id for row in await door.query("order", where, 10)] == [7, 8, 10]
    assert [row.id for row in await door.query("order", {"customer": 2}, 10)] == [10]
    assert await door.query("order", {"customer": 3}, 10) == []
    assert len(erp.queries) == 1


async def test_a_source_without_visibility_shows_what_it_emitted() -> None:
    erp = CopiedErp(reports_visibility=False)
    erp.write("orders", 7, 1, "first")
    copy = LaggingCopy(erp)
    copy.follow()
    copy.barriers = False
    door = erp_gateway(erp, copy)
    await door.get("order", 7)
    event = erp.write("orders", 7, 1, "changed")
    bound = on_behalf(at=event)
    row = await door.get("order", 7, bound)
    assert row is not None
    assert row.note == "changed"
    before, waited = len(erp.queries), len(copy.waits)
    assert await door.get("order", 7, bound)
    assert (len(erp.queries), len(copy.waits)) == (before, waited), "it began after the event"


async def test_the_copy_s_probe_shows_it_what_reads_show(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    del door
    erp.write("orders", 7, 1, "changed")
    copy.apply(4)
    assert copy.cache.fences.transaction_count
    assert copy.probe is not None
    await copy.probe()
    assert copy.cache.fences.transaction_count == 0


async def test_a_failed_query_ends_its_read(
    erp: CopiedErp, copy: LaggingCopy, door: Gateway
) -> None:
    erp.error = RetryLater("away")
    with pytest.raises(RetryLater, match="away"):
        await door.get("order", 7)
    assert copy.cache.fences.earliest_in_flight() == copy.cache.fences.last_read + 1


async def test_an_entity_has_a_staleness_of_its_own(erp: CopiedErp, copy: LaggingCopy) -> None:
    copy.barriers = False
    door = erp_gateway(erp, copy, cache=CacheSpec(max_staleness=0.0))
    for count in (1, 2):
        assert await door.get("order", 7)
        assert len(erp.queries) == count
    assert await door.get("order", 7, ReadDemands(max_staleness=60.0))
    assert len(erp.queries) == 2


async def test_an_older_answer_is_given_only_while_the_system_is_away_and_if_allowed(
    erp: CopiedErp, copy: LaggingCopy
) -> None:
    copy.barriers = False
    door = erp_gateway(erp, copy, cache=CacheSpec(max_staleness=0.0, stale_if_error=60.0))
    assert await door.get("order", 7)
    assert await door.query("order", {"customer": 1}, 5)
    erp.error = RetryLater("away")
    assert provenance(await door.get("order", 7)).source == "cache"
    assert await notes(door)
    assert len(await door.query("order", {"customer": 1}, 5)) == 2
    event = erp.write("orders", 7, 1, "changed")
    for read in (
        door.get("order", 7, ReadDemands(max_staleness=0.0)),
        door.get("order", 7, FRESH),
        door.get("order", 7, on_behalf(event)),
        door.get_many("order", [7, 99]),
        door.query("order", {"customer": 9}, 5),
    ):
        with pytest.raises(RetryLater, match="away"):
            await read
    copy.doubts.add("order")
    with pytest.raises(RetryLater, match="away"):
        await door.get("order", 7)
    strict = erp_gateway(erp, copy, cache=CacheSpec(max_staleness=0.0))
    copy.doubts.clear()
    with pytest.raises(RetryLater, match="away"):
        await strict.get("order", 7)


async def test_bad_demands_are_refused_before_anything_is_asked(
    erp: CopiedErp, door: Gateway
) -> None:
    bad: Any = ReadDemands(after="soon")
    for read in (
        door.get("order", 7, bad),
        door.get_many("order", [7], bad),
        door.query("order", {"customer": 1}, 5, bad),
    ):
        with pytest.raises(Rejected, match="position of an event"):
            await read
    assert not erp.queries
