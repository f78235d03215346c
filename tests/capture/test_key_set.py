from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.snapshot.key_set import KeySet
from bridge.model.errors import RetryLater

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("log"), st.lists(st.tuples(KEYS, st.booleans()))),
            st.tuples(st.just("met"), st.lists(KEYS)),
        )
    ),
    st.integers(1, 3),
)
def test_what_is_left_is_alive_in_the_log_and_was_never_met(
    actions: list[tuple[str, Any]], page: int
) -> None:
    keys = KeySet()
    alive: dict[bytes, bool] = {}
    met: set[bytes] = set()
    for action, records in actions:
        if action == "log":
            keys.scanned(records)
            alive.update(records)
        else:
            keys.touched(records)
            met.update(records)
    left = [key for page_keys in keys.left(page) for key in page_keys]
    assert left == sorted(key for key, living in alive.items() if living and key not in met)
    keys.close()


def test_whoever_tells_keys_does_not_wait_for_the_file() -> None:
    """It is the event loop that tells them, and a large file takes its time."""
    keys, gate = KeySet(), threading.Event()
    keys._thread.submit(gate.wait, 20)
    keys.scanned([(b"a", True), (b"b", True)])
    keys.touched([b"a"])
    assert not gate.is_set()
    gate.set()
    assert list(keys.left(10)) == [[b"b"]]
    keys.close()


def test_a_file_without_room_is_retry_later() -> None:
    keys = KeySet()
    keys._file.execute("PRAGMA max_page_count = 4")
    keys.touched(number.to_bytes(400) for number in range(1000))
    with pytest.raises(RetryLater, match="SQLITE_TMPDIR"):
        list(keys.left(10))
    keys.close()


def test_what_came_while_it_was_asked_for_is_not_absent() -> None:
    """The system said that there is no such row, and the stream brought it before that was heard."""
    keys = KeySet()
    keys.scanned([(key, True) for key in (b"a", b"b", b"c", b"d")]).result()
    assert keys.unmet_after(b"a", 2).result() == [b"b", b"c"]
    keys.touched([b"b"])
    keys.absent([b"b", b"c"])
    assert keys.counts().result() == (3, 4)
    assert list(keys.gone(10)) == [[b"c"]]
    assert list(keys.left(1)) == [[b"a"], [b"d"]]
    keys.touched([b"c"])
    assert list(keys.gone(10)) == []
    keys.absent([b"a"])
    keys.forget_answers()
    assert (list(keys.gone(10)), list(keys.left(10))) == ([], [[b"a", b"d"]])
    keys.close()
