"""Ids that a model lacks, so that a row which comes late among older ones is noticed. Pure.

Ids are handed out in their order, but committed in any: where transactions overlap, a row may appear
below others that were told long ago. It comes into a gap. Most gaps stay for ever, because a
transaction was rolled back or a row deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_GAPS = 1000
"""Gaps that are remembered; nobody works for so long that more ids than these wait for them."""
SEARCHED_IDS = 20_000
"""The highest ids, in which gaps are looked for at first."""


@dataclass(slots=True)
class IdGaps:
    """`ids` aren't known, the MOST highest of them below `last`: the highest that is or was known."""

    last: int = 0
    ids: set[int] = field(default_factory=set)

    def known(self, key: int) -> None:
        """This one is there."""
        if key <= self.last:
            self.ids.discard(key)
            return
        self.ids.update(range(max(self.last + 1, key - MAX_GAPS), key))
        self.last = key
        if len(self.ids) > 2 * MAX_GAPS:
            self.ids = self.newest(MAX_GAPS).ids

    def gone(self, key: int) -> None:
        """This one was there."""
        self.ids.add(key)

    def newest(self, count: int) -> IdGaps:
        """A copy with at most so many of the highest."""
        kept = sorted(self.ids)[-count:] if 0 < count < len(self.ids) else self.ids
        return IdGaps(self.last, set(kept) if count else set())


def gaps_of(ids: Sequence[int]) -> IdGaps:
    """Among the highest of these, which are in order."""
    some = ids[-SEARCHED_IDS:]
    found = IdGaps(some[0] - 1 if len(some) < len(ids) else 0)
    for key in some:
        found.known(key)
    return found
