"""When a barrier is begun, for whom it counts, and when it is passed."""

from __future__ import annotations

import pytest

from bridge.gateway.freshness.barriers import (
    BARRIER_EXPIRES_S,
    BARRIER_INTERVAL_S,
    Barrier,
    BarrierTracker,
    WatermarkRequest,
)
from bridge.log.port import TopicPartition
from bridge.model.freshness import NEVER, Freshness
from bridge.model.position import format_position

ORDERS = (TopicPartition("b.erp.order", 0), TopicPartition("b.erp.order", 1))
LINES = (TopicPartition("b.erp.line", 0),)
DEAD = (TopicPartition("b.dead", 0),)
ALL = (*ORDERS, *LINES, *DEAD)
FIVE = format_position(1, 5, 0)


def tracker() -> BarrierTracker:
    return BarrierTracker("erp", "me", {"order": ORDERS, "line": LINES}, DEAD)


def begun(barriers: BarrierTracker, now: float) -> Barrier:
    barrier = barriers.begin(now)
    assert barrier is not None
    return barrier


def request_of(barriers: BarrierTracker, barrier: Barrier, epoch: int = 1) -> WatermarkRequest:
    request = barriers.read_checkpoint(barrier.name, epoch, FIVE)
    assert request is not None
    return request


def measure(barriers: BarrierTracker, barrier: Barrier, end: int = 10) -> None:
    barriers.set_high_watermarks(request_of(barriers, barrier), dict.fromkeys(ALL, end))


def test_no_barrier_is_written_while_nobody_waits() -> None:
    """An idle system costs nothing."""
    barriers = tracker()
    assert (barriers.next_begin(1.0), barriers.begin(1.0)) == (None, None)
    barriers.leave(barriers.wait("order"))
    assert (barriers.next_begin(2.0), barriers.begin(2.0)) == (None, None)


def test_an_answered_wait_begins_no_other_barrier() -> None:
    barriers = tracker()
    wait = barriers.wait("order")
    measure(barriers, begun(barriers, 1.0))
    barriers.reach(dict.fromkeys(ALL, 10))
    assert barriers.has_passed(wait)
    assert barriers.begin(100.0) is None


def test_a_thousand_waits_share_one_barrier_and_those_after_it_the_next() -> None:
    barriers = tracker()
    early = [barriers.wait("order") for _ in range(1_000)]
    first = begun(barriers, 1.0)
    late = [barriers.wait("order") for _ in range(1_000)]
    assert barriers.begin(1.0 + BARRIER_INTERVAL_S) is None  # one at a time
    measure(barriers, first)
    barriers.reach(dict.fromkeys(ALL, 10))
    assert all(map(barriers.has_passed, early))
    assert not any(map(barriers.has_passed, late))
    second = begun(barriers, 1.0 + BARRIER_INTERVAL_S)
    assert (second.number, second.name) == (2, "me-2")
    measure(barriers, second)
    assert all(map(barriers.has_passed, late))


def test_barriers_keep_their_interval() -> None:
    barriers = tracker()
    barriers.wait("order")
    measure(barriers, begun(barriers, 1.0))
    barriers.wait("order")
    assert barriers.next_begin(1.01) == 1.0 + BARRIER_INTERVAL_S
    assert barriers.begin(1.01) is None
    assert begun(barriers, 1.0 + BARRIER_INTERVAL_S).begun_at == 1.0 + BARRIER_INTERVAL_S


def test_a_claim_is_of_when_the_barrier_was_begun() -> None:
    barriers = tracker()
    barriers.wait("order")
    barrier = begun(barriers, 1.0)
    barriers.reach(dict.fromkeys(ALL, 10))
    assert barriers.claim("order").as_of == NEVER
    request = request_of(barriers, barrier)
    assert request.partitions == frozenset(ALL)
    assert barriers.claim("order").as_of == NEVER
    barriers.set_high_watermarks(request, dict.fromkeys(ALL, 10))
    assert barriers.claim("order") == Freshness("erp", 1, FIVE, 1.0)
    assert barriers.claim("order") is barriers.claim("order")


@pytest.mark.parametrize("missing", ALL)
def test_an_entity_waits_for_all_of_its_partitions_and_for_the_dead_letters(
    missing: TopicPartition,
) -> None:
    barriers = tracker()
    waits = {entity: barriers.wait(entity) for entity in ("order", "line")}
    measure(barriers, begun(barriers, 1.0))
    barriers.reach({each: 10 if each != missing else 9 for each in ALL})
    concerned = {
        "order": missing in (*ORDERS, *DEAD),
        "line": missing in (*LINES, *DEAD),
    }
    for entity, wait in waits.items():
        assert barriers.has_passed(wait) is not concerned[entity]
        assert (barriers.claim(entity).as_of == NEVER) is concerned[entity]
    barriers.reach({missing: 10})
    assert all(map(barriers.has_passed, waits.values()))


def test_an_entity_that_lags_keeps_no_other_from_newer_barriers() -> None:
    """A view that is being built must not stop the proofs of all others."""
    barriers = tracker()
    for number in range(1, 6):
        barriers.wait("line")
        barriers.wait("order")
        measure(barriers, begun(barriers, float(number)), end=number * 10)
        barriers.reach({**dict.fromkeys((*LINES, *DEAD), number * 10), ORDERS[0]: 10})
        assert barriers.claim("line").as_of == number
    assert barriers.claim("order").as_of == NEVER
    barriers.reach(dict.fromkeys(ORDERS, 10))
    assert barriers.claim("order").as_of == 1.0
    barriers.reach(dict.fromkeys(ORDERS, 50))
    assert barriers.claim("order").as_of == 5.0


def test_a_barrier_that_was_not_written_is_followed_by_another() -> None:
    barriers = tracker()
    wait = barriers.wait("order")
    lost = begun(barriers, 1.0)
    barriers.fail(lost)
    second = begun(barriers, 1.0 + BARRIER_INTERVAL_S)
    barriers.fail(lost)  # an answer that comes late
    assert barriers.read_checkpoint(lost.name, 1, FIVE) is None
    measure(barriers, second)
    barriers.reach(dict.fromkeys(ALL, 10))
    assert barriers.has_passed(wait)


def test_a_barrier_that_never_comes_back_is_replaced_while_somebody_waits() -> None:
    barriers = tracker()
    wait = barriers.wait("order")
    begun(barriers, 1.0)
    assert barriers.begin(1.0 + BARRIER_EXPIRES_S - 0.01) is None
    barriers.leave(wait)
    assert barriers.begin(100.0) is None
    barriers.wait("order")
    assert begun(barriers, 100.0).number == 2


def test_high_watermarks_of_an_earlier_barrier_are_ignored() -> None:
    barriers = tracker()
    barriers.wait("order")
    request = request_of(barriers, begun(barriers, 1.0))
    second = begun(barriers, 1.0 + BARRIER_EXPIRES_S)
    barriers.set_high_watermarks(request, dict.fromkeys(ALL, 0))
    barriers.reach(dict.fromkeys(ALL, 10))
    assert barriers.claim("order").as_of == NEVER
    measure(barriers, second)
    assert barriers.claim("order").as_of == second.begun_at


def test_another_process_s_barrier_proves_nothing_here() -> None:
    barriers = tracker()
    barriers.wait("order")
    begun(barriers, 1.0)
    assert barriers.read_checkpoint("other-1", 1, FIVE) is None
    assert barriers.read_checkpoint("", 1, FIVE) is None


def test_another_epoch_ends_all_claims_and_an_earlier_one_is_ignored() -> None:
    barriers = tracker()
    wait = barriers.wait("order")
    measure(barriers, begun(barriers, 1.0))
    barriers.reach(dict.fromkeys(ALL, 9))
    barriers.read_checkpoint("", 2, format_position(2, 6, 0))
    barriers.reach(dict.fromkeys(ALL, 10))
    assert barriers.claim("order") == Freshness("erp", 2)
    assert not barriers.has_passed(wait)
    barrier = begun(barriers, 2.0)  # for the same wait
    assert barriers.read_checkpoint(barrier.name, 1, FIVE) is None
    barriers.set_high_watermarks(request_of(barriers, barrier, 2), dict.fromkeys(ALL, 10))
    assert barriers.claim("order") == Freshness("erp", 2, FIVE, 2.0)


def test_a_follower_that_begins_again_proves_again() -> None:
    barriers = tracker()
    wait = barriers.wait("order")
    measure(barriers, begun(barriers, 1.0))
    barriers.reach(dict.fromkeys(ALL, 10))
    barriers.restart([ORDERS[1]])
    assert barriers.claim("order").as_of == NEVER
    measure(barriers, begun(barriers, 2.0))
    barriers.reach({ORDERS[1]: 9})
    assert not barriers.has_passed(wait)
    barriers.reach({ORDERS[1]: 10})
    assert barriers.claim("order").as_of == 2.0


def test_what_was_proved_in_doubt_does_not_count_after_it() -> None:
    """The rows that ended the doubt were written after the high watermarks were taken."""
    barriers = tracker()
    barriers.wait("order")
    measure(barriers, begun(barriers, 1.0))
    barriers.reach(dict.fromkeys(ALL, 10))
    barriers.wait("order")
    request = request_of(barriers, begun(barriers, 2.0))
    barriers.forget(["order"])
    barriers.set_high_watermarks(request, dict.fromkeys(ALL, 10))
    assert barriers.claim("order").as_of == NEVER
    assert barriers.claim("line").as_of == 1.0
    measure(barriers, begun(barriers, 3.0))
    assert barriers.claim("order").as_of == 3.0


def test_an_entity_whose_deletes_are_compared_is_claimed_as_of_the_comparison() -> None:
    barriers = tracker()
    barriers.wait("order")
    barrier = begun(barriers, 1.0)
    request = barriers.read_checkpoint(barrier.name, 1, FIVE, {"order": 0.25})
    assert request is not None
    barriers.set_high_watermarks(request, dict.fromkeys(ALL, 0))
    barriers.reach(dict.fromkeys(ALL, 0))
    assert barriers.claim("order").as_of == 0.25
    assert barriers.claim("line").as_of == 1.0
