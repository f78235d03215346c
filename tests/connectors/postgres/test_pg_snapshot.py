from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.protocol.pg_snapshot import (
    PgSnapshot,
    ServerHistory,
    parse_seen,
    parse_snapshot,
)

WRAP = 1 << 32


def test_visibility_compares_across_the_wrap_of_transaction_ids() -> None:
    seen = parse_snapshot(f"{WRAP - 2}:{WRAP + 5}:{WRAP - 1},{WRAP + 3}")
    assert seen.contains(2**32 - 3)
    assert seen.contains(2**32 - 2)
    assert not seen.contains(2**32 - 1)
    assert seen.contains(2)
    assert not seen.contains(3)
    assert not seen.contains(5)
    assert not seen.contains(1000)
    assert not parse_snapshot("10:10:").contains(10)
    assert parse_snapshot("10:10:").contains(9)


@st.composite
def snapshots(draw: st.DrawFn) -> PgSnapshot:
    xmin = draw(st.integers(3, 1 << 34))
    length = draw(st.integers(0, 60))
    in_recovery = draw(st.booleans())
    open_now = st.frozensets(st.integers(xmin, xmin + max(length - 1, 0)), max_size=length)
    # A standby lists none of those that are open.
    running = frozenset() if in_recovery or not length else draw(open_now)
    return PgSnapshot(xmin, xmin + length, running, in_recovery)


@given(snapshots(), st.integers(-80, 140))
def test_a_transaction_is_contained_only_where_that_is_certain(
    snapshot: PgSnapshot, distance: int
) -> None:
    xid = snapshot.xmin + distance
    ended = set(range(xid - 1, snapshot.xmin)) if distance < 0 else set()
    if not snapshot.in_recovery:
        ended |= set(range(snapshot.xmin, snapshot.xmax)) - snapshot.running
    assert snapshot.contains(xid % WRAP) == (xid in ended)


@given(snapshots())
def test_what_was_unseen_is_not_contained(snapshot: PgSnapshot) -> None:
    unseen = set(snapshot.unseen())
    between = {xid % WRAP for xid in range(snapshot.xmin, snapshot.xmax)}
    assert unseen == {xid for xid in between if not snapshot.contains(xid)}


def test_an_open_transaction_of_a_standby_is_not_contained() -> None:
    """The value is one that a standby of PostgreSQL 15 gave while 725 was open."""
    primary = parse_seen("725:727: 7713758061444006188 p00000001")
    standby = parse_seen("725:727: 7713758061444006188 r1")
    assert [primary.contains(xid) for xid in (724, 725, 726)] == [True, True, True]
    assert [standby.contains(xid) for xid in (724, 725, 726)] == [True, False, False]


def test_a_primary_says_its_timeline_in_hexadecimal_and_a_standby_in_decimal() -> None:
    promoted = parse_seen("9:12:9,10 77 p0000001A")
    assert promoted == PgSnapshot(9, 12, frozenset({9, 10}), False, ServerHistory("77", 26))
    following = parse_seen("9:12: 77 r26")
    assert following == PgSnapshot(9, 12, frozenset(), True, ServerHistory("77", 26))
    assert str(promoted.server) == str(following.server) == "77/26"


@pytest.mark.parametrize(
    "text",
    ["", "9:12:", "9:12: 77", "9:12: 77 x1", "9:12: 77 rx", "9:12: x p00000001", "9:12 7 r1"],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_seen(text)
