"""What a read may ask for, and who answers it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.freshness.read_order import MAX_BARRIER_WAIT_S, barrier_deadline, decide
from bridge.gateway.freshness.read_request import ReadRequest, read_request
from bridge.model.errors import Rejected
from bridge.model.freshness import NEVER, NO_POSITION, Freshness
from bridge.model.position import format_position
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import DEFAULT_MAX_STALENESS_S

NOON = 1_000.0


def position(commit: int) -> str:
    return format_position(0, commit, 0)


def receipt(outcome: Outcome, at: str | None) -> Receipt:
    return Receipt("c", outcome, None, None, None, None, at, datetime(2026, 1, 1, tzinfo=UTC))


def claim(age: float = 0.0, commit: int = 5) -> Freshness:
    return Freshness("erp", 0, position(commit), NOON - age)


def request_of(
    *,
    event: str = NO_POSITION,
    default_staleness: float = DEFAULT_MAX_STALENESS_S,
    **demands: Any,
) -> ReadRequest:
    cause = ReadCause("agent", system="erp", position=event) if event else None
    return read_request(
        NOON,
        ReadDemands(**demands, cause=cause),
        system="erp",
        default_staleness=default_staleness,
    )


def answer(held: Freshness | None, now: float = NOON, **demands: Any) -> str:
    request = request_of(**demands)
    return decide(request, held, now, is_held=True, has_barriers=True).answer


def test_without_a_bound_the_default_holds_which_is_never_unlimited() -> None:
    assert answer(claim(DEFAULT_MAX_STALENESS_S)) == "copy"
    assert answer(claim(DEFAULT_MAX_STALENESS_S + 0.01)) == "barrier"
    assert answer(claim(10.0), default_staleness=60.0) == "copy"
    assert answer(claim(1e9), max_staleness=float("inf")) == "copy"
    assert answer(Freshness("erp", 0)) == "barrier"


def test_what_is_young_enough_is_answered_by_the_copy_else_after_a_barrier_else_live() -> None:
    assert answer(claim(1.0), max_staleness=1.0) == "copy"
    assert answer(claim(1.1), max_staleness=1.0) == "barrier"
    assert answer(claim(0.0), max_staleness=0.0) == "copy"
    assert answer(claim(1.1), max_staleness=1.0, now=NOON + MAX_BARRIER_WAIT_S) == "legacy"
    assert answer(None, max_staleness=float("inf")) == "legacy"
    assert answer(claim(), fresh=True) == "legacy"


def test_a_row_that_the_copy_does_not_have_is_not_waited_for() -> None:
    """A barrier proves what there is; it brings no row."""
    request = read_request(NOON)
    decision = decide(request, claim(), NOON, is_held=False, has_barriers=True)
    assert (decision.answer, decision.until) == ("legacy", NEVER)
    assert "doesn't have it" in decision.reason


def test_a_source_without_barriers_is_not_waited_for() -> None:
    request = read_request(NOON)
    assert decide(request, claim(9.0), NOON, is_held=True, has_barriers=False).answer == "legacy"
    assert decide(request, claim(), NOON, is_held=True, has_barriers=False).answer == "copy"


def test_what_was_read_before_is_waited_for() -> None:
    request = read_request(NOON)
    decision = decide(request, claim(), NOON, is_held=True, has_barriers=True, meets_floor=False)
    assert decision.answer == "barrier"


def test_no_read_is_older_than_the_event_that_is_handled() -> None:
    assert answer(claim(commit=5), event=position(5)) == "copy"
    assert answer(claim(commit=4), event=position(5), max_staleness=float("inf")) == "barrier"
    assert answer(claim(commit=5), event=position(3), after=position(6)) == "barrier"
    assert answer(claim(commit=5), event=position(6), after=position(3)) == "barrier"


@pytest.mark.parametrize(
    ("outcome", "at", "expected"),
    [
        (Outcome.SUCCEEDED, position(5), "copy"),
        (Outcome.SUCCEEDED, position(6), "barrier"),
        (Outcome.SUCCEEDED, None, "legacy"),
        (Outcome.UNKNOWN_OUTCOME, None, "legacy"),
        (Outcome.REJECTED, None, "copy"),
        (Outcome.FAILED, None, "copy"),
        (Outcome.EXPIRED, None, "copy"),
        (Outcome.CANCELLED, None, "copy"),
    ],
)
def test_after_a_receipt_its_effect_is_in(outcome: Outcome, at: str | None, expected: str) -> None:
    """Where its target reports no position, the legacy system is asked."""
    assert answer(claim(commit=5), after=receipt(outcome, at)) == expected


@pytest.mark.parametrize(
    ("demands", "says"),
    [
        ({"fresh": True, "max_staleness": 5.0}, "pass one of them"),
        ({"max_staleness": -1.0}, "fresh=True"),
        ({"max_staleness": float("nan")}, "pass seconds"),
        ({"max_staleness": "5s"}, "pass seconds"),
        ({"max_staleness": True}, "pass seconds"),
        ({"deadline": 0}, "more than 0"),
        ({"deadline": -1.0}, "more than 0"),
        ({"deadline": float("nan")}, "more than 0"),
        ({"deadline": "soon"}, "seconds that it may take"),
        ({"after": ""}, "position of an event"),
        ({"after": 7}, "position of an event"),
        ({"after": "yesterday"}, "position of an event"),
        ({"after": receipt(Outcome.SUCCEEDED, "7")}, "or a receipt"),
    ],
)
def test_bounds_that_cannot_be_met_or_contradict_are_refused_with_what_to_do(
    demands: dict[str, Any], says: str
) -> None:
    with pytest.raises(Rejected, match=says) as refused:
        request_of(**demands)
    assert refused.value.code == "bad_freshness"


@given(st.one_of(st.none(), st.floats(0.001, 100.0)))
def test_a_barrier_is_waited_for_within_its_share_of_the_deadline(seconds: float | None) -> None:
    request = request_of(deadline=seconds)
    until = barrier_deadline(request)
    assert NOON < until <= NOON + MAX_BARRIER_WAIT_S
    if seconds is not None:
        assert until - NOON <= seconds / 2 + 1e-9
    old = claim(100.0)
    before = decide(request, old, NOON, is_held=True, has_barriers=True)
    assert (before.answer, before.until) == ("barrier", until)
    assert decide(request, old, until, is_held=True, has_barriers=True).answer == "legacy"


@given(
    st.one_of(st.none(), st.builds(claim, st.sampled_from([0.0, 3.0, 9.0]), st.integers(3, 7))),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.tuples(*[st.booleans()] * 4),
)
def test_the_copy_answers_iff_it_is_held_sound_and_young_enough(
    held: Freshness | None,
    waited: float,
    flags: tuple[bool, bool, bool, bool],
) -> None:
    is_held, has_barriers, meets_floor, is_live = flags
    request = replace(request_of(event=position(5)), is_live=is_live)
    decision = decide(
        request,
        held,
        NOON + waited,
        is_held=is_held,
        has_barriers=has_barriers,
        meets_floor=meets_floor,
    )
    usable = is_held and not is_live and held is not None
    enough = held is not None and held.as_of >= NOON - 5.0 and held.position >= position(5)
    assert (decision.answer == "copy") is (usable and enough and meets_floor)
    may_wait = usable and has_barriers and waited < MAX_BARRIER_WAIT_S
    assert (decision.answer == "barrier") is (may_wait and not (enough and meets_floor))
    assert bool(decision.reason) is (decision.answer == "legacy")


def test_an_event_of_another_system_is_no_bound() -> None:
    cause = ReadCause("agent", system="crm", position=position(9))
    demands = ReadDemands(cause=cause)
    assert read_request(NOON, demands, system="erp").bound.position == NO_POSITION
    assert read_request(NOON, demands, system="crm").bound.position == position(9)


def test_the_defaults_ask_for_no_position() -> None:
    assert read_request(NOON).bound.position == NO_POSITION
