"""Which rows a model had, so that those that are gone are noticed. Pure.

Tryton's log of deletions says of which model a row was deleted and when, but never which: it hides
references to rows that are gone. The ids that are left tell.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class Fingerprint(NamedTuple):
    """Of a set of ids: the largest, how many, and their exclusive or."""

    last: int
    size: int
    mixed: int


def fingerprint(ids: Sequence[int], last: int | None = None) -> Fingerprint:
    """Of the ids up to `last`."""
    top = size = mixed = 0
    for one in ids:
        if last is None or one <= last:
            top, size, mixed = max(top, one), size + 1, mixed ^ one
    return Fingerprint(top if last is None else last, size, mixed)


class Known:
    """The ids of a model as they were listed last, and those that were told since."""

    def __init__(self, listed: Sequence[int]) -> None:
        self._listed = array("q", sorted(listed))
        self._since: set[int] = set()
        self.print = fingerprint(listed)

    def add(self, key: int) -> None:
        """A row was told that is new."""
        place = bisect_left(self._listed, key)
        if key in self._since or self._listed[place : place + 1] == array("q", [key]):
            return
        last, size, mixed = self.print
        self.print = Fingerprint(max(last, key), size + 1, mixed ^ key)
        self._since.add(key)

    def gone(self, listed: Sequence[int]) -> list[int]:
        """Those that are no longer among the listed, which are the known ones from now on."""
        now = set(listed)
        found = [key for key in (*self._listed, *sorted(self._since)) if key not in now]
        self._listed, self._since = array("q", sorted(now)), set()
        self.print = fingerprint(listed)
        return list(dict.fromkeys(found))
