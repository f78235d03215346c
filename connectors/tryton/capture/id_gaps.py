"""Ids that are missing from a model, so that a row which commits late among older ones is noticed. Pure.

Ids are assigned in order, but committed in any order: where transactions overlap, a row may appear
below others that were emitted long ago. Its id fills a gap. Most gaps stay, because a
transaction was rolled back or a row deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

MAX_GAPS: Final = 1000
"""Gaps that are remembered; no transaction lasts so long that more ids than these wait for it."""
SEARCHED_IDS: Final = 20_000
"""Of how many of the highest ids the gaps are computed at first."""


@dataclass(slots=True)
class IdGaps:
    """The highest ids that are missing below `last`, which is the highest id that ever was present."""

    last: int = 0
    ids: set[int] = field(default_factory=set)

    def mark_present(self, key: int) -> None:
        """A row with this id exists."""
        if key <= self.last:
            self.ids.discard(key)
            return
        self.ids.update(range(max(self.last + 1, key - MAX_GAPS), key))
        self.last = key
        if len(self.ids) > 2 * MAX_GAPS:
            self.ids = self.limited_to(MAX_GAPS).ids

    def mark_deleted(self, key: int) -> None:
        """The row with this id was deleted."""
        self.ids.add(key)

    def limited_to(self, count: int) -> IdGaps:
        """A copy with at most so many of the highest."""
        kept = sorted(self.ids)[-count:] if 0 < count < len(self.ids) else self.ids
        return IdGaps(self.last, set(kept) if count else set())


def gaps_of(ids: Sequence[int]) -> IdGaps:
    """The gaps among the highest of these ids, which are in order."""
    highest = ids[-SEARCHED_IDS:]
    gaps = IdGaps(highest[0] - 1 if len(highest) < len(ids) else 0)
    for key in highest:
        gaps.mark_present(key)
    return gaps
