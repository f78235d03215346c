from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.agent.in_flight import InFlightEvent, InFlightEvents

InFlightNumber = InFlightEvent[int, int]


def test_events_of_one_key_start_one_after_the_other() -> None:
    window: InFlightEvents[str, str] = InFlightEvents(10)
    window.add(0, b"a", "first")
    window.add(1, b"a", "second")
    first = window.start()
    assert first is not None
    assert first.item == "first"
    assert window.start() is None
    window.finish(first, [])
    second = window.start()
    assert second is not None
    assert second.item == "second"


def test_results_wait_for_earlier_events_and_come_in_order() -> None:
    window: InFlightEvents[str, str] = InFlightEvents(10)
    for offset, key in enumerate((b"a", b"b", b"c")):
        window.add(offset + 5, key, "event")
    slots = [window.start() for _ in range(3)]
    assert slots[2] is not None
    assert slots[0] is not None
    window.finish(slots[2], ["of c"])
    assert window.take() is None
    window.finish(slots[0], ["of a"])
    assert window.take() == (["of a"], 6)
    assert slots[1] is not None
    window.finish(slots[1], [])
    assert window.take() == (["of c"], 8)
    assert window.take() is None


def test_a_window_is_full_at_its_limit() -> None:
    window: InFlightEvents[str, str] = InFlightEvents(1)
    assert not window.full
    window.add(0, b"a", "event")
    assert window.full


def test_an_event_is_finished_once() -> None:
    window: InFlightEvents[str, str] = InFlightEvents(9)
    window.add(0, b"a", "event")
    slot = window.start()
    assert slot is not None
    window.finish(slot, [])
    with pytest.raises((ValueError, KeyError)):
        window.finish(slot, [])
    with pytest.raises(ValueError, match="offset"):
        window.add(0, b"a", "event")


@given(st.lists(st.sampled_from([b"a", b"b", b"c", None]), max_size=40), st.randoms())
def test_any_order_of_finishing_keeps_order_a_key_and_writes_each_event_once(
    keys: list[bytes | None],
    random: st.randoms,  # type: ignore[valid-type]
) -> None:
    window: InFlightEvents[int, int] = InFlightEvents(100)
    running: list[InFlightNumber] = []
    started: dict[bytes | None, list[int]] = defaultdict(list)
    written: list[int] = []
    upto = 0
    arriving = list(enumerate(keys))
    while arriving or running or len(window):
        if arriving and random.random() < 0.5:  # type: ignore[attr-defined]
            offset, key = arriving.pop(0)
            window.add(offset, key, offset)
        while (slot := window.start()) is not None:
            assert slot.key not in {other.key for other in running}
            started[slot.key].append(slot.offset)
            running.append(slot)
        if running and random.random() < 0.7:  # type: ignore[attr-defined]
            slot = running.pop(random.randrange(len(running)))  # type: ignore[attr-defined]
            window.finish(slot, [slot.offset])
        taken = window.take()
        if taken is not None:
            assert taken[1] > upto
            written, upto = written + taken[0], taken[1]
            assert all(slot.offset >= upto for slot in running)
    assert written == list(range(len(keys)))
    assert all(offsets == sorted(offsets) for offsets in started.values())
