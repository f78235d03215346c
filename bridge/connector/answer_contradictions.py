"""A contradiction between two answers, distinguished from rows that others changed in between.

Of an honest service two answers may contradict each other, because each shows another point in time. A service
that doesn't heed a question gives the same answers again and again, and a busy one does not: for the same
contradiction of the same rows each of them would have to come and go in step with the questions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

Evidence = TypeVar("Evidence", bound=Hashable)
EQUAL_LOOKS_IN_A_ROW = 4
"""Looks in a row that show the same."""
MAX_LOOKS = 12


class RowsChange(Exception):
    """Each look shows a contradiction of other rows: they change faster than they can be asked for."""


async def contradiction(
    look: Callable[[], Awaitable[Evidence | None]], most: int = MAX_LOOKS
) -> Evidence | None:
    """The rows that contradict each other, where each of several looks shows the same; None: one look
    shows that nothing is wrong. Raises RowsChange where neither is seen.
    """
    last, times = None, 0
    for _ in range(most):
        evidence = await look()
        if evidence is None:
            return None
        last, times = evidence, times + 1 if evidence == last else 1
        if times == EQUAL_LOOKS_IN_A_ROW:
            return evidence
    raise RowsChange


async def seen_again(
    look: Callable[[], Awaitable[Evidence | None]], most: int = MAX_LOOKS
) -> Evidence | None:
    """As `contradiction`; None also where nothing is known."""
    try:
        return await contradiction(look, most)
    except RowsChange:
        return None
