"""Which rows a model had, so that deleted ones are noticed. Pure.

Tryton's log of deletions says of which model a row was deleted and when, but never which: it hides
references to deleted rows. Only the ids that are left show it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from connectors.tryton.capture.id_gaps import gaps_of


class IdFingerprint(NamedTuple):
    """A set of ids in three numbers, by which a checkpoint recognises it.

    - `last`: none of the ids exceeds it.
    - `size`: how many ids.
    - `mixed`: their exclusive or.
    """

    last: int
    size: int
    mixed: int

    def plus(self, key: int) -> IdFingerprint:
        """With an id that wasn't among them."""
        return IdFingerprint(max(self.last, key), self.size + 1, self.mixed ^ key)

    def less(self, key: int) -> IdFingerprint:
        """Without an id that was. `last` stays, so that later ids are still distinguished from earlier ones."""
        return IdFingerprint(self.last, self.size - 1, self.mixed ^ key)


def fingerprint(ids: Iterable[int], last: int | None = None) -> IdFingerprint:
    """The fingerprint of the ids up to `last`."""
    highest = size = mixed = 0
    for key in ids:
        if last is None or key <= last:
            highest, size, mixed = max(highest, key), size + 1, mixed ^ key
    return IdFingerprint(highest if last is None else last, size, mixed)


class IdSet:
    """The ids of a model's rows that were emitted, or existed before capture began: 8 bytes each.

    `fingerprint` and `gaps` follow each change.
    """

    def __init__(self, ids: Iterable[int]) -> None:
        self._sorted = array("q", sorted(ids))
        self._added: set[int] = set()
        self.fingerprint = fingerprint(self._sorted)
        self.gaps = gaps_of(self._sorted)

    def __contains__(self, key: int) -> bool:
        index = bisect_left(self._sorted, key)
        is_sorted_in = index < len(self._sorted) and self._sorted[index] == key
        return is_sorted_in or key in self._added

    def add(self, key: int) -> None:
        """A row was emitted."""
        if key not in self:
            self._added.add(key)
            self.fingerprint = self.fingerprint.plus(key)
            self.gaps.mark_present(key)

    def compare(self, listed: Sequence[int]) -> tuple[list[int], list[int]]:
        """The ids that are missing from `listed`, which are removed here, and the ids of `listed` that are
        new, which are not added. `listed` must be in order.
        """
        before = self._sorted
        if self._added:
            before = array("q", sorted([*before, *self._added]))
            self._sorted, self._added = before, set()
        if before == listed:
            # As nearly always, and much faster.
            return [], []
        missing, new = _differences(before, listed)
        if missing:
            removed = set(missing)
            self._sorted = array("q", [key for key in before if key not in removed])
            for key in missing:
                self.fingerprint = self.fingerprint.less(key)
                self.gaps.mark_deleted(key)
        return missing, new


def _differences(before: Sequence[int], now: Sequence[int]) -> tuple[list[int], list[int]]:
    """What is only in the first, and only in the second, of two ascending sequences."""
    only_before: list[int] = []
    only_now: list[int] = []
    index = 0
    for key in before:
        while index < len(now) and now[index] < key:
            only_now.append(now[index])
            index += 1
        if index < len(now) and now[index] == key:
            index += 1
        else:
            only_before.append(key)
    return only_before, [*only_now, *now[index:]]
