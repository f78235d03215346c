"""A new owner opens what the owner before it has left."""

from __future__ import annotations

import pytest

from bridge.model.errors import RetryLater
from bridge.wiring.owned_reads import usable_connections


@pytest.mark.parametrize(("limit", "left", "usable"), [(4, 0, 4), (4, 3, 1), (1, 0, 1)])
def test_sessions_that_are_left_are_counted(limit: int, left: int, usable: int) -> None:
    assert usable_connections(limit, left) == usable


@pytest.mark.parametrize(("limit", "left"), [(4, 4), (4, 9), (1, 1)])
def test_without_room_nothing_is_opened(limit: int, left: int) -> None:
    with pytest.raises(RetryLater, match=f"{left} sessions .* {limit} are allowed"):
        usable_connections(limit, left)
