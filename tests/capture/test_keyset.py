from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.keyset import KeySet

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
    for action, told in actions:
        if action == "log":
            keys.scanned(told)
            alive.update(told)
        else:
            keys.touched(told)
            met.update(told)
    left = [key for found in keys.left(page) for key in found]
    assert left == sorted(key for key, living in alive.items() if living and key not in met)
    keys.close()
