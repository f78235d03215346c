"""What every reader refuses, and what it needn't ask."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connector import Ask, distinct_keys
from bridge.model.errors import Rejected


@pytest.mark.parametrize(
    ("columns", "keys", "words"),
    [
        (["a"], [(1,), (2,), (3,)], "3 keys for 'orders' in one lookup: at most 2"),
        ([], [(1,)], "keys for 'orders' without columns"),
        (["a", "b"], [(1, 2), (1,)], "a key for 'orders' has not 2 values"),
        (["a"], [()], "a key for 'orders' has not 1 values"),
    ],
)
def test_keys_that_do_not_fit_are_refused(
    columns: list[str], keys: list[tuple[Any, ...]], words: str
) -> None:
    with pytest.raises(Rejected, match=words) as refused:
        distinct_keys(Ask("orders", columns, keys), 2)
    assert refused.value.code == "bad_key"


def test_no_key_is_asked_for_twice_nor_one_that_equals_nothing() -> None:
    keys = [(1, "b"), (2, None), (1, "b"), (None, None), (0, "")]
    assert distinct_keys(Ask("orders", ("a", "b"), keys), 5) == [(1, "b"), (0, "")]
    assert distinct_keys(Ask("orders"), 5) == []
