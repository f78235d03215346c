"""A contradiction between two answers, told apart from rows that others changed in between.

Of an honest service two answers may contradict each other, because each shows another moment. A service
that doesn't heed a question gives the same answers again and again, and a busy one does not: for the same
contradiction of the same rows each of them would have to come and go in step with the questions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

Evidence = TypeVar("Evidence", bound=Hashable)
IN_A_ROW = 4
"""Looks in a row that show the same."""


async def seen_again(look: Callable[[], Awaitable[Evidence | None]]) -> Evidence | None:
    """The rows that contradict each other, where each of several looks shows the same; None: nothing is
    wrong, or rows change, so that nothing is known.
    """
    first = await look()
    for _ in range(IN_A_ROW - 1):
        if first is None or await look() != first:
            return None
    return first
