"""Which rows a model had, so that those that are gone are noticed. Pure.

Tryton's log of deletions says of which model a row was deleted and when, but never which: it hides
references to rows that are gone. The ids that are left tell.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from connectors.tryton.capture.id_gaps import gaps_of


class IdFingerprint(NamedTuple):
    """Of a set of ids: a number that none exceeds, how many, and their exclusive or."""

    last: int
    size: int
    mixed: int

    def plus(self, key: int) -> IdFingerprint:
        """With an id that wasn't among them."""
        return IdFingerprint(max(self.last, key), self.size + 1, self.mixed ^ key)

    def less(self, key: int) -> IdFingerprint:
        """Without one that was. `last` stays, so that a later id is still told from an earlier."""
        return IdFingerprint(self.last, self.size - 1, self.mixed ^ key)


def fingerprint(ids: Iterable[int], last: int | None = None) -> IdFingerprint:
    """Of the ids up to `last`."""
    top = size = mixed = 0
    for one in ids:
        if last is None or one <= last:
            top, size, mixed = max(top, one), size + 1, mixed ^ one
    return IdFingerprint(top if last is None else last, size, mixed)


class IdSet:
    """The ids of a model that were told, or were there before capture began: 8 bytes each."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._sorted = array("q", sorted(ids))
        self._since: set[int] = set()
        self.print = fingerprint(self._sorted)
        self.gaps = gaps_of(self._sorted)

    def __contains__(self, key: int) -> bool:
        place = bisect_left(self._sorted, key)
        there = place < len(self._sorted) and self._sorted[place] == key
        return there or key in self._since

    def add(self, key: int) -> None:
        """A row was told."""
        if key not in self:
            self._since.add(key)
            self.print = self.print.plus(key)
            self.gaps.known(key)

    def compare(self, listed: Sequence[int]) -> tuple[list[int], list[int]]:
        """Ids that are no longer among the listed, which must be in order: they are unknown from now
        on. And those that came without being told.
        """
        before = self._sorted
        if self._since:
            before = array("q", sorted([*before, *self._since]))
            self._sorted, self._since = before, set()
        if before == listed:
            # As nearly always, and much faster.
            return [], []
        gone, come = _differences(before, listed)
        if gone:
            lost = set(gone)
            self._sorted = array("q", [key for key in before if key not in lost])
            for key in gone:
                self.print = self.print.less(key)
                self.gaps.gone(key)
        return gone, come


def _differences(before: Sequence[int], now: Sequence[int]) -> tuple[list[int], list[int]]:
    """What is only in the one, and only in the other, of two ascending sequences."""
    gone: list[int] = []
    come: list[int] = []
    at = 0
    for key in before:
        while at < len(now) and now[at] < key:
            come.append(now[at])
            at += 1
        if at < len(now) and now[at] == key:
            at += 1
        else:
            gone.append(key)
    return gone, [*come, *now[at:]]
