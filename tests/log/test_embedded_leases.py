"""Leases by a clock of the test's own: no waiting, and clocks that jump."""

import sqlite3
from pathlib import Path

import pytest

from bridge.log.embedded.leases import (
    GroupMember,
    LeaseView,
    check_deserted,
    check_leases,
    enter,
    generation_of,
    leave,
    rebalance,
    renew,
)
from bridge.log.embedded.schema import connect, prepare
from bridge.log.embedded.topic_table import create
from bridge.log.port import TopicSpec
from bridge.model.errors import Fenced, Rejected

A = GroupMember("g", "a", ("t",), 1000)
B = GroupMember("g", "b", ("t",), 1000)


@pytest.fixture
def rows(tmp_path: Path) -> sqlite3.Connection:
    prepare(tmp_path / "log.db", 1.0)
    connection = connect(tmp_path / "log.db", 1.0)
    create(connection, [TopicSpec("t", partitions=4)], 1)
    return connection


def settle(rows: sqlite3.Connection, me: GroupMember, now: int) -> LeaseView:
    """What a member does in its read: give back what is surplus, then take."""
    view = rebalance(rows, me, (), now)
    return rebalance(rows, me, view.surplus, now) if view.surplus else view


def test_a_partition_moves_only_after_its_holder_gave_it_back(rows: sqlite3.Connection) -> None:
    enter(rows, A, 0)
    first = rebalance(rows, A, (), 0)
    assert len(first.held) == 4

    enter(rows, B, 0)
    assert rebalance(rows, B, (), 0).held == {}
    again = rebalance(rows, A, (), 0)
    assert len(again.surplus) == 2
    rebalance(rows, A, again.surplus, 0)

    assert rebalance(rows, B, (), 0).held.keys() == again.surplus


def test_a_lease_that_moved_refuses_what_its_old_holder_commits(rows: sqlite3.Connection) -> None:
    enter(rows, A, 0)
    held = rebalance(rows, A, (), 0).held
    check_leases(rows, A, held)

    settle(rows, B, 1500)

    with pytest.raises(Fenced, match="group g"):
        check_leases(rows, A, held)


def test_a_lease_that_came_back_to_its_holder_is_a_new_one(rows: sqlite3.Connection) -> None:
    """Another member may have worked in between, so what was under way is stale."""
    enter(rows, A, 0)
    held = rebalance(rows, A, (), 0).held
    settle(rows, B, 1500)
    leave(rows, B)

    again = rebalance(rows, A, (), 1600)

    assert again.held.keys() == held.keys()
    check_leases(rows, A, again.held)
    with pytest.raises(Fenced):
        check_leases(rows, A, held)


def test_signs_of_life_keep_a_member_and_silence_ends_it(rows: sqlite3.Connection) -> None:
    enter(rows, A, 0)
    held = rebalance(rows, A, (), 0).held

    assert renew(rows, A, 900)
    assert renew(rows, A, 1800)
    assert settle(rows, B, 2700).held == {}
    check_leases(rows, A, held)

    assert not renew(rows, A, 2900)
    assert len(settle(rows, B, 2900).held) == 4


def test_a_clock_that_goes_back_does_not_keep_a_dead_member_for_ever(
    rows: sqlite3.Connection,
) -> None:
    day = 86_400_000
    enter(rows, A, day)
    rebalance(rows, A, (), day)

    enter(rows, B, 0)

    assert len(settle(rows, B, 10).held) == 4


def test_each_change_of_members_or_leases_shows_in_the_generation(
    rows: sqlite3.Connection,
) -> None:
    seen = [generation_of(rows, "g")]
    for step in (
        lambda: enter(rows, A, 0),
        lambda: rebalance(rows, A, (), 0),
        lambda: enter(rows, B, 0),
        lambda: rebalance(rows, A, rebalance(rows, A, (), 0).surplus, 0),
        lambda: rebalance(rows, B, (), 0),
        lambda: leave(rows, A),
        lambda: renew(rows, GroupMember("g", "c", (), 1), 5000),
    ):
        step()
        seen.append(generation_of(rows, "g"))

    assert seen == sorted(set(seen))

    renew(rows, A, 5000)
    assert generation_of(rows, "g") == seen[-1]


def test_members_that_want_different_topics_get_only_those(rows: sqlite3.Connection) -> None:
    create(rows, [TopicSpec("u", partitions=2)], 1)
    other = GroupMember("g", "c", ("u",), 1000)
    for each in (A, other):
        enter(rows, each, 0)

    assert len(rebalance(rows, A, (), 0).held) == 4
    assert len(rebalance(rows, other, (), 0).held) == 2


def test_a_group_is_deserted_once_its_members_left_or_died(rows: sqlite3.Connection) -> None:
    enter(rows, A, 0)

    with pytest.raises(Rejected, match="group g has live members"):
        check_deserted(rows, "g", 500)
    check_deserted(rows, "g", 1500)
