"""Reports that a part waits because the other side is unavailable, and that it continues."""

from __future__ import annotations

from bridge.observe import Observer, PartState

MIN_FAILURES = 2
"""Failed tries in a row before it is reported: a lock that is busy once is no news."""


class PartWaiting:
    """Waiting of one part; `kind` and `name` as in `PartState`. Receives each try, reports each
    failed one (`bridge.retry_reports` decides which of those are news), and the end of the
    failures.

    A part may wait for several things at once; it is running again once it waits for none of them.
    """

    def __init__(self, kind: str, name: str, observer: Observer) -> None:
        self._kind = kind
        self._name = name
        self._observer = observer
        self._waits: set[str] = set()

    def tried(self, failures: int, why: str, action: str = "") -> None:
        """`failures` tries of `action` in a row did not succeed. `why`: the last one's reason;
        empty if the other side is available again.
        """
        if failures == 0 and action in self._waits:
            self._waits.discard(action)
            if not self._waits:
                self._observer(PartState(self._kind, self._name, "running"))
        elif failures >= MIN_FAILURES and why:
            self._waits.add(action)
            self._observer(PartState(self._kind, self._name, "retrying", why))
