"""Single promises of the cache: bytes, claims, fullness, snapshots' rows."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from bridge.gateway.cache.cache_state import CacheBounds, CacheState, ReadAnswer
from bridge.gateway.cache.change_effect import EffectRules, EntityChange, RowEffect
from bridge.gateway.cache.entry import Claim, Fill, Scope
from bridge.gateway.cache.lists import ListKey, ListShape
from bridge.model.errors import RetryLater
from bridge.ports.held_entry import COMPILED
from tests.gateway.cache.oracle_database import VisibleNumbers

SCOPE = Scope("", "capture")
ROW_BYTES, KEY_BYTES = 115, 8


def cache(bounds: CacheBounds = CacheBounds()) -> CacheState:  # noqa: B008 - immutable
    return CacheState(SCOPE, reports_visibility=True, allowance=0.0, bounds=bounds)


def fill(state: CacheState, rows: list[tuple[bytes, bytes | None]], *seen: int) -> int:
    read = state.begin_read(0.0)
    visibility = VisibleNumbers(frozenset(seen), ())
    answer = ReadAnswer(read, visibility, 0.0, claim="read")
    stored = state.fill(answer, SCOPE, "order", rows)
    state.end_read(read, answer)
    return stored


def update(key: bytes, payload: bytes, transaction: int) -> EntityChange:
    return EntityChange("order", key, payload, {"customer": 1}, transaction, 0.0)


@pytest.mark.parametrize("count", [2_000, 50_000])
def test_a_row_takes_at_most_two_hundred_bytes_over_its_avro(count: int) -> None:
    """All that is held is counted, the key too; answers have 1,000 rows. An interpreted entry takes 16
    bytes more.
    """
    state = cache(CacheBounds(bytes=1 << 30))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for first in range(0, count, 1_000):
            keys = range(first, first + 1_000)
            fill(state, [(key.to_bytes(KEY_BYTES, "big"), bytes(ROW_BYTES)) for key in keys])
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken / count <= ROW_BYTES + (200 if COMPILED else 216)
    assert taken <= state.held_bytes <= 1.5 * taken


def test_lists_take_at_most_the_bytes_that_are_counted() -> None:
    state = cache(CacheBounds(bytes=1 << 30))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for parent in range(2_000):
            read = state.begin_read(0.0)
            rows = [
                ((parent * 10 + n).to_bytes(KEY_BYTES, "big"), bytes(ROW_BYTES)) for n in range(10)
            ]
            key = ListKey(SCOPE, "order", ListShape(("customer",)), ((parent,),))
            assert state.fill_list(
                ReadAnswer(read, VisibleNumbers(frozenset(), ()), 0.0), key, rows
            )
            state.end_read(read, None)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= state.held_bytes <= 1.5 * taken


def test_a_row_in_somebodys_hand_claims_no_more_once_it_is_replaced() -> None:
    state = cache()
    fill(state, [(b"1", b"old")])
    row = state.get(SCOPE, "order", b"1")
    assert row is not None
    state.freshness = "as of 10"
    assert state.claim_of(row) == Claim("read", "as of 10")
    state.apply(update(b"1", b"new", 7))
    state.freshness = "as of 11"
    assert state.claim_of(row) == Claim("read", "as of 10")
    replacing = state.get(SCOPE, "order", b"1")
    assert replacing is not None
    assert (replacing.payload, state.claim_of(replacing)) == (b"new", Claim(None, "as of 11"))


def test_a_row_in_somebodys_hand_claims_no_more_once_it_is_evicted() -> None:
    state = cache(CacheBounds(bytes=400))
    fill(state, [(b"1", b"old")])
    row = state.get(SCOPE, "order", b"1")
    assert row is not None
    state.freshness = "as of 10"
    fill(state, [(bytes([n]), b"other") for n in range(5)])
    state.freshness = "as of 11"
    assert state.get(SCOPE, "order", b"1") is None
    assert state.claim_of(row).follower == "as of 10"


def test_a_follower_waits_for_a_read_when_too_much_was_never_shown() -> None:
    state = cache(CacheBounds(transactions=3))
    for number in (1, 2, 3):
        state.apply(update(b"1", b"%d" % number, number))
    with pytest.raises(RetryLater, match="read any row"):
        state.apply(update(b"1", b"4", 4))
    with pytest.raises(RetryLater, match="read any row"):
        state.truncate("order", 4, 0.0)
    assert fill(state, [(b"1", b"3")], 1, 2, 3) == 1
    assert not state.is_full
    state.apply(update(b"1", b"4", 4))


@pytest.mark.parametrize("reports_visibility", [True, False])
def test_a_row_of_a_snapshot_that_differs_never_replaces(reports_visibility: bool) -> None:
    """It may be older than what was read; the same row keeps it."""
    rules = EffectRules(reports_visibility=reports_visibility, allowance=1.0)
    fill = Fill("order", SCOPE, None, 0.0)
    change = EntityChange("order", b"1", b"a", {}, None, 1_000.0, snapshot=True)
    assert rules.of(change, b"a", fill, same_scope=True) is RowEffect.KEEP
    assert rules.of(change, b"b", fill, same_scope=True) is RowEffect.DROP


def test_settled_rows_take_every_later_event() -> None:
    """PostgreSQL's transaction ids come again: one that was shown long ago isn't the new one."""
    state = cache()
    fill(state, [(b"1", b"old")], 7)
    state.settle(state.last_fill)
    state.apply(update(b"1", b"new", 7))
    row = state.get(SCOPE, "order", b"1")
    assert row is not None
    assert row.payload == b"new"


def test_an_answer_without_visibility_isn_t_stored_where_reads_report_it() -> None:
    state = cache()
    read = state.begin_read(0.0)
    assert state.fill(ReadAnswer(read, None, 0.0), SCOPE, "order", [(b"1", b"row")]) == 0
    key = ListKey(SCOPE, "order", ListShape(("customer",)), ((1,),))
    assert not state.fill_list(ReadAnswer(read, None, 0.0), key, [])


def test_indexes_hold_nothing_of_lists_that_were_evicted() -> None:
    held = CacheState(
        SCOPE, reports_visibility=True, allowance=0.0, bounds=CacheBounds(bytes=3_000)
    )
    for parent in range(100):
        read = held.begin_read(0.0)
        shape = ListShape(("customer",), by_values=parent % 2 == 0)
        key = ListKey(SCOPE, "order", shape, ((parent,),))
        answer = ReadAnswer(read, VisibleNumbers(frozenset(), ()), 0.0)
        assert held.fill_list(answer, key, [(b"%d" % parent, b"row")])
        held.end_read(read, None)
    assert 0 < len(held) < 5
    assert held.lists.index_size == 2 * len(held) == 2 * len(held.lists)


def test_an_event_is_remembered_while_a_read_begun_too_early_is_in_flight() -> None:
    """Without visibility: a later read may begin, and come back, before that does."""
    state = CacheState(SCOPE, reports_visibility=False, allowance=3.0)
    first = state.begin_read(100.0)
    state.apply(EntityChange("order", b"1", b"new", {}, None, 98.5))
    early = state.begin_read(101.0)
    late = state.begin_read(102.0)
    state.end_read(first, None)
    stale = [(b"1", b"old")]
    assert state.fill(ReadAnswer(early, None, 103.0), SCOPE, "order", stale) == 0
    assert state.fill(ReadAnswer(late, None, 103.0), SCOPE, "order", [(b"1", b"new")]) == 1
    state.end_read(early, None)
    state.end_read(late, None)
    assert state.fences.key_count == 0


def test_answers_of_another_server_are_not_stored_and_show_nothing() -> None:
    """Its transaction ids are others: 7 here isn't 7 there."""
    state = cache()
    state.reset("a/2")
    state.apply(update(b"1", b"new", 7))
    assert fill(state, [(b"1", b"old")], 7) == 0
    assert state.fences.transaction_count == 1
    read = state.begin_read(0.0)
    answer = ReadAnswer(read, VisibleNumbers(frozenset([7]), ()), 0.0, server="a/2")
    assert state.fill(answer, SCOPE, "order", [(b"1", b"new")]) == 1
    state.end_read(read, answer)
    assert state.fences.transaction_count == 0


def test_the_table_of_a_scope_stays_the_same_object() -> None:
    state = cache(CacheBounds(bytes=400))
    table = state.table(SCOPE, "order")
    fill(state, [(b"1", b"row")])
    assert table[b"1"] is state.get(SCOPE, "order", b"1")
    state.reset("")
    state.epoch("order")
    assert not table
    fill(state, [(b"1", b"row")])
    assert table[b"1"] is state.get(SCOPE, "order", b"1")
