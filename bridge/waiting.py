"""Notices that a part waits because the other side is away, and that it continues."""

from __future__ import annotations

from bridge.observe import Observer, PartState

MIN_FAILURES = 2
"""Failed tries in a row before it is reported: a lock that isn't given once is no news."""


class PartWaiting:
    """Of one part, `kind` and `name` as of `PartState`: hears of each try, notices each one that
    failed (`bridge.retry_reports` says which of those are news), and the end of it.

    A part may wait for several things at once; it runs again once it waits for none of them.
    """

    def __init__(self, kind: str, name: str, observer: Observer) -> None:
        self._kind = kind
        self._name = name
        self._observer = observer
        self._waits: set[str] = set()

    def tried(self, failures: int, why: str, action: str = "") -> None:
        """So many tries of `action` in a row were not through, the last one because of that (empty:
        nobody is away).
        """
        if failures == 0 and action in self._waits:
            self._waits.discard(action)
            if not self._waits:
                self._observer(PartState(self._kind, self._name, "running"))
        elif failures >= MIN_FAILURES and why:
            self._waits.add(action)
            self._observer(PartState(self._kind, self._name, "retrying", why))
