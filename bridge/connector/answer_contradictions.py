"""Tells contradictory responses from rows that changed in between.

Two responses of a correct service may contradict each other, because each shows a different point
in time. A service that ignores part of a request gives the same responses repeatedly, and a busy
one does
not: to repeat the same contradiction, the same rows would have to change in step with the requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

Evidence = TypeVar("Evidence", bound=Hashable)
EQUAL_LOOKS_IN_A_ROW = 4
"""Consecutive polls that show the same contradiction."""
MAX_LOOKS = 12


class RowsChange(Exception):
    """Each poll shows a contradiction of different rows: they change faster than they can be
    queried.
    """


async def contradiction(
    look: Callable[[], Awaitable[Evidence | None]], most: int = MAX_LOOKS
) -> Evidence | None:
    """The contradictory rows, if several polls show the same ones; None as soon as one poll shows
    no contradiction. Raises RowsChange if neither is the case.
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
    """As `contradiction`; None also if it can't be determined."""
    try:
        return await contradiction(look, most)
    except RowsChange:
        return None
