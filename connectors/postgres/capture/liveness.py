"""How long an answer of the server is overdue. Pure: the clock is a parameter.

Counted is not the time in which nothing came, because nobody may have read, or this whole process
may have been stopped; counted is the time since the server was first asked and has not answered.
"""

from __future__ import annotations


class ServerLiveness:
    """Of one replication stream; times in seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._since: float | None = None

    def note_request(self, now: float) -> None:
        """The server was asked for an answer."""
        if self._since is None:
            self._since = now

    def note_arrival(self) -> None:
        """Something came, or the stream is another one."""
        self._since = None

    def silent_for(self, now: float) -> float:
        """How long an answer is overdue; call only after everything received was read."""
        return 0.0 if self._since is None else max(0.0, now - self._since)
