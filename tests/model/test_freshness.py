"""What an answer claims: the minimum of what it rests on, compared with what a reader asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.freshness import (
    NEVER,
    NO_POSITION,
    Freshness,
    FreshnessBound,
    advanced,
    bound_of,
    oldest,
)
from bridge.model.position import format_position

NUMBERS = st.integers(0, 5)
TIMES = st.sampled_from([NEVER, 0.0, 1.0, 2.5, 7.0])
CLAIMS = st.builds(
    lambda epoch, commit, as_of: Freshness("erp", epoch, format_position(epoch, commit, 0), as_of),
    st.integers(0, 1),
    NUMBERS,
    TIMES,
)


@given(st.lists(CLAIMS, min_size=1))
def test_a_common_claim_is_one_that_each_of_them_makes(claims: list[Freshness]) -> None:
    """Written as the definition: whatever bound the common claim meets, all of them meet."""
    common = oldest(claims)
    for claim in claims:
        assert FreshnessBound(common.as_of, common.position).is_met_by(claim)
    same_epoch = {claim.epoch for claim in claims} == {common.epoch}
    if same_epoch:
        assert any(claim.as_of == common.as_of for claim in claims)
        assert any(claim.position == common.position for claim in claims)
    else:
        assert (common.as_of, common.position) == (NEVER, NO_POSITION)


@given(CLAIMS, CLAIMS)
def test_a_claim_never_goes_back_and_never_mixes_epochs(claim: Freshness, proof: Freshness) -> None:
    later = advanced(claim, proof)
    assert later.epoch == max(claim.epoch, proof.epoch)
    for each in (claim, proof):
        if each.epoch == later.epoch:
            assert later.as_of >= each.as_of
            assert later.position >= each.position
    assert later.as_of in {each.as_of for each in (claim, proof) if each.epoch == later.epoch}


@given(CLAIMS, st.sampled_from([0.0, 0.5, 3.0]), st.sampled_from([None, 0.0, 1.0, 5.0]), NUMBERS)
def test_a_bound_is_met_by_what_is_young_enough_and_contains_the_positions(
    claim: Freshness, asked_at: float, max_staleness: float | None, commit: int
) -> None:
    position = format_position(0, commit, 0)
    bound = bound_of(asked_at, max_staleness, position, format_position(0, 1, 0))
    is_young = max_staleness is None or claim.age(asked_at) <= max_staleness
    contains = claim.epoch > 0 or int(claim.position[5:21], 16) >= max(commit, 1)
    assert bound.is_met_by(claim) is (is_young and contains)


def test_nothing_proved_is_enough_only_for_a_reader_who_set_no_bound() -> None:
    unproved = Freshness("erp", 0)
    assert bound_of(5.0).is_met_by(unproved)
    assert not bound_of(5.0, 1e9).is_met_by(unproved)
    assert not bound_of(5.0, None, format_position(0, 0, 0)).is_met_by(unproved)
    assert unproved.age(5.0) == float("inf")


def test_a_read_that_waited_is_not_asked_for_more_than_when_it_began() -> None:
    """Otherwise `max_staleness=0` could never be met, because an answer takes time."""
    assert bound_of(5.0, 0.0).is_met_by(Freshness("erp", 0, NO_POSITION, 5.0))
    assert not bound_of(5.0, 0.0).is_met_by(Freshness("erp", 0, NO_POSITION, 4.999))


def test_claims_of_several_systems_are_never_mixed() -> None:
    erp, crm = Freshness("erp", 0), Freshness("crm", 0)
    for claims in ([], [erp, crm]):
        with pytest.raises(ValueError, match="one system"):
            oldest(claims)
    with pytest.raises(ValueError, match="crm"):
        advanced(erp, crm)
