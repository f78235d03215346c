"""When barriers are written, and whom each of them answers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.barriers.record import MAX_ANSWERED, BarrierRecord
from bridge.capture.barriers.schedule import (
    BARRIER_INTERVAL_S,
    MAX_ASKED,
    MAX_OUTSTANDING,
    BarrierSchedule,
    WrittenBarrier,
)


def begun(schedule: BarrierSchedule, now: float) -> WrittenBarrier:
    barrier = schedule.begin(now)
    assert barrier is not None
    return barrier


def test_nothing_is_written_while_nobody_asks() -> None:
    schedule = BarrierSchedule("one")
    assert schedule.next_begin(5.0) is None
    assert schedule.begin(5.0) is None
    schedule.ask("a")
    barrier = begun(schedule, 5.0)
    assert schedule.next_begin(9.0) is None
    assert schedule.pass_watermark(barrier.name, 3, "p") == BarrierRecord(1, 3, "p", ("a",))
    assert schedule.begin(9.0) is None


def test_requests_in_between_share_the_next_barrier_which_is_not_early() -> None:
    schedule = BarrierSchedule("one")
    schedule.ask("a")
    first = begun(schedule, 5.0)
    for request in ("b", "c", "b"):
        schedule.ask(request)
    assert schedule.begin(5.0 + BARRIER_INTERVAL_S / 2) is None
    assert schedule.next_begin(5.0) == 5.0 + BARRIER_INTERVAL_S
    second = begun(schedule, 5.0 + BARRIER_INTERVAL_S)
    assert (first.answers, second.answers) == (("a",), ("b", "c"))
    assert second.name != first.name


def test_a_barrier_answers_nobody_who_asked_after_it_was_begun() -> None:
    schedule = BarrierSchedule("one")
    schedule.ask("a")
    barrier = begun(schedule, 5.0)
    schedule.ask("late")
    record = schedule.pass_watermark(barrier.name, 0, "p")
    assert record is not None
    assert record.answered == ("a",)


def test_a_later_barrier_that_comes_back_answers_for_one_that_was_lost() -> None:
    schedule = BarrierSchedule("one")
    schedule.ask("a")
    lost = begun(schedule, 1.0)
    schedule.ask("b")
    later = begun(schedule, 2.0)
    assert schedule.pass_watermark(later.name, 0, "p") == BarrierRecord(2, 0, "p", ("a", "b"))
    assert schedule.pass_watermark(lost.name, 0, "p") is None
    assert schedule.pass_watermark(later.name, 0, "p") is None


def test_another_connections_watermarks_and_those_of_chunks_are_no_barriers() -> None:
    schedule = BarrierSchedule("one")
    schedule.ask("a")
    begun(schedule, 1.0)
    assert schedule.pass_watermark("two.b1", 0, "p") is None
    assert schedule.pass_watermark("one.1", 0, "p") is None


def test_requests_of_a_barrier_that_could_not_be_written_get_the_next_one() -> None:
    schedule = BarrierSchedule("one")
    schedule.ask("a")
    failed = begun(schedule, 1.0)
    schedule.ask("b")
    schedule.fail(failed)
    assert schedule.pass_watermark(failed.name, 0, "p") is None
    schedule.fail(failed)
    assert begun(schedule, 2.0).answers == ("a", "b")


def test_a_stream_that_returns_nothing_is_written_to_no_more() -> None:
    schedule = BarrierSchedule("one")
    names = []
    for number in range(MAX_OUTSTANDING):
        schedule.ask(f"r{number}")
        names.append(begun(schedule, float(number)).name)
    schedule.ask("last")
    assert schedule.next_begin(100.0) is None
    schedule.pass_watermark(names[0], 0, "p")
    assert begun(schedule, 100.0).answers == ("last",)


def test_requests_are_bounded_and_the_oldest_are_forgotten() -> None:
    schedule = BarrierSchedule("one")
    for number in range(MAX_ASKED + 1):
        schedule.ask(f"r{number}")
    assert begun(schedule, 0.0).answers == tuple(f"r{n}" for n in range(1, MAX_ANSWERED + 1))
    assert begun(schedule, 1.0).answers[0] == f"r{MAX_ANSWERED + 1}"


def test_a_polling_source_proves_a_barrier_by_a_poll_that_began_after_it() -> None:
    """Its watermark may come back at once, after a poll that began before it; and a round of polls of
    several tables may be under way then, whose first tables were polled before it.
    """
    schedule = BarrierSchedule("one", polled=True)
    schedule.ask("a")
    barrier = begun(schedule, 1.0)
    assert schedule.note_polls(7, 0, "p7") is None
    assert schedule.pass_watermark(barrier.name, 0, "p7", polls=7) is None
    assert schedule.note_polls(7, 0, "p7") is None
    assert schedule.note_polls(8, 0, "p8") is None
    assert schedule.note_polls(9, 2, "p9") == BarrierRecord(1, 2, "p9", ("a",))
    assert schedule.note_polls(10, 0, "p10") is None


def test_polls_before_a_watermark_came_back_prove_nothing() -> None:
    schedule = BarrierSchedule("one", polled=True)
    schedule.ask("a")
    begun(schedule, 1.0)
    assert schedule.note_polls(100, 0, "p") is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(0, 20)),
            st.tuples(st.just("wait"), st.integers(0, 60)),
            st.tuples(st.just("return"), st.integers(1, 3)),
            st.tuples(st.just("fail"), st.just(0)),
        ),
        max_size=60,
    )
)
@pytest.mark.parametrize("ends", [True, False])
def test_each_answer_is_proved_by_a_later_write_and_none_is_owed_in_the_end(
    ends: bool, steps: list[tuple[str, int]]
) -> None:
    """Compared with a source of our own: a history of asks and writes, read in its order."""
    schedule = BarrierSchedule("one")
    history: list[tuple[str, str]] = []
    streamed, milliseconds, requests, answered = 0, 0, set[str](), set[str]()
    writes: list[int] = []

    def write(*, works: bool) -> None:
        barrier = schedule.begin(milliseconds / 1000)
        if barrier is None:
            return
        writes.append(milliseconds)
        if works:
            history.append(("write", barrier.name))
        else:
            schedule.fail(barrier)

    def stream() -> None:
        nonlocal streamed
        what, name = history[streamed]
        streamed += 1
        if what != "write":
            return
        record = schedule.pass_watermark(name, 0, str(streamed))
        for request in record.answered if record else ():
            assert history.index(("ask", request)) < streamed - 1
            assert request not in answered
            answered.add(request)

    for action, count in steps:
        if action == "ask":
            for _ in range(count):
                name = f"r{len(requests)}"
                requests.add(name)
                history.append(("ask", name))
                schedule.ask(name)
        elif action == "wait":
            milliseconds += count
        elif action == "return":
            for _ in range(min(count, len(history) - streamed)):
                stream()
        write(works=action != "fail")
    for earlier, later in pairwise(writes):
        assert (later - earlier) / 1000 >= BARRIER_INTERVAL_S - 1e-9
    if ends:
        while answered != requests:
            while streamed < len(history):
                stream()
            milliseconds += 50
            write(works=True)
        assert len(writes) <= len(requests) + len(steps)
        assert schedule.next_begin(milliseconds / 1000) is None
