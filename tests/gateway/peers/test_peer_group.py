"""What was read by one relation, and what to read next."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bridge.gateway.peers.latest_reads import LatestReads
from bridge.gateway.peers.peer_group import PeerAnswer, RelationReads


def reads_of(*keys: Any) -> RelationReads:
    reads = RelationReads()
    reads.set_keys(None if key is None else (key,) for key in keys)
    return reads


def read_on(reads: RelationReads, key: int) -> bool:
    """One read, answered before the next."""
    is_loop = reads.note_ask((key,))
    reads.keep((key,), PeerAnswer(None, 1.0, 2.0))
    return is_loop


def test_the_rest_begins_after_the_row_that_is_read() -> None:
    reads = reads_of(1, 2, None, 3, 2, 4)
    assert reads.take_rest((3,), 2) == [(4,), (1,)]
    assert reads.take_rest((3,), 9) == [(2,)]
    assert reads.take_rest((3,), 9) == []


def test_what_is_known_or_on_its_way_isnt_read_again() -> None:
    reads = reads_of(1, 2, 3, 4)
    reads.keep((2,), PeerAnswer(None, 1.0, 2.0))
    reads.pending[3,] = SimpleNamespace(asked_at=1.0)
    assert reads.take_rest((1,), 9) == [(4,)]


def test_two_rows_that_lead_to_the_same_are_no_loop() -> None:
    reads = reads_of(1, 1, 2)
    assert [read_on(reads, key) for key in (1, 1, 2, 1)] == [False, False, True, True]


def test_reads_that_wait_at_the_same_time_are_no_loop() -> None:
    reads = reads_of(1, 2, 3)
    assert not any(reads.note_ask((key,)) for key in (1, 2, 3))
    reads.keep((2,), PeerAnswer(None, 1.0, 2.0))
    assert reads.note_ask((3,))


def test_what_was_read_of_a_part_counts_for_the_whole() -> None:
    for read, is_loop in (((1,), True), ((2,), False), ((1, 3), True), ((), False)):
        part, whole = reads_of(1), reads_of(1, 2, 3)
        for key in read:
            read_on(part, key)
        whole.adopt(part)
        assert whole.note_ask((2,)) is is_loop


def test_the_later_of_two_answers_is_kept() -> None:
    reads = reads_of(1)
    later, earlier = PeerAnswer(None, 2.0, 2.0), PeerAnswer((), 1.0, 3.0)
    reads.keep((1,), later)
    reads.keep((1,), earlier)
    assert reads.answer((1,), 0.0) is later
    assert reads.answer((1,), 2.5) is None


def test_a_load_that_is_too_old_isnt_waited_for() -> None:
    reads = reads_of(1)
    load = SimpleNamespace(asked_at=1.0)
    reads.pending[1,] = load
    assert reads.pending_since((1,), 1.0) is load
    assert reads.pending_since((1,), 1.5) is None


def test_reads_that_are_forgotten_allow_nothing_older() -> None:
    latest = LatestReads(max_reads=2)
    for number in range(4):
        latest.note([(("e", ("id",), (number,)), None)], 10.0 + number)
    row = object()
    assert not latest.allows([(("e", ("id",), (9,)), row)], 10.5)
    assert latest.allows([(("e", ("id",), (9,)), row)], 11.5)
    assert not latest.allows([(("e", ("id",), (3,)), row)], 12.5)
    assert latest.allows([(("e", ("id",), (3,)), None)], 12.5)


def test_the_latest_of_what_was_seen_counts() -> None:
    latest = LatestReads()
    key = ("e", ("id",), (1,))
    first, second = object(), object()
    latest.note([(key, first)], 5.0)
    latest.note([(key, second)], 3.0)
    assert latest.allows([(key, first)], 4.0)
    assert not latest.allows([(key, second)], 4.0)
