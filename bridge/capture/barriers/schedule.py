"""When a barrier is written into a source, and which requests it answers. Pure: the clock is a
parameter, and the caller writes, reads and stores.

A barrier is a watermark of the source. It proves to a request that everything committed before the
request is in the log, so it answers only requests that were made before the barrier was written.
Requests that arrive in between share the next one, so a source is written to at most once per
`BARRIER_INTERVAL_S`, and never while nobody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bridge.capture.barriers.record import MAX_ANSWERED, BarrierRecord

BARRIER_INTERVAL_S: Final = 0.05
"""Between the beginnings of two writes, however many ask."""
MAX_OUTSTANDING: Final = 8
"""Barriers in a stream that is slow to return them; what is asked for meanwhile waits for the next."""
MAX_ASKED: Final = 10_000
"""Requests that wait. Over that, the oldest are forgotten: whoever made one has asked again since."""
POLLS_AFTER_WATERMARK: Final = 2
"""Complete polls that a polling source must have emitted since its watermark. The watermark follows only
polls that began before it was written, and may split the round of polls of several tables; the round
after that began later.
"""


@dataclass(frozen=True, slots=True)
class WrittenBarrier:
    """A barrier that is being written, or was, and has not been recorded.

    number: 1, 2, … in the order of writing.
    name: of its watermark, unique among all connections ever made.
    answers: the names of the requests made before it was begun.
    polls: of a polling source, the number of complete polls that proves it; None: its watermark
    has not come back.
    """

    number: int
    name: str
    answers: tuple[str, ...]
    polls: int | None = None


class BarrierSchedule:
    """The barriers of one connection of a source. Used by one task, or by several of one event loop:
    no call waits.

    connection: its name, unique among all connections ever made.
    polled: the source polls (`every_change` false): see `POLLS_AFTER_WATERMARK`.
    """

    def __init__(self, connection: str, *, polled: bool = False) -> None:
        self._connection = connection
        self._polled = polled
        self._waiting: dict[str, None] = {}
        self._outstanding: list[WrittenBarrier] = []
        self._number = 0
        self._begun_at: float | None = None

    def ask(self, request: str) -> None:
        """Somebody asked for a barrier. `request`: a name that is unique for the asker; the same one
        again is one request.
        """
        self._waiting[request] = None
        if len(self._waiting) > MAX_ASKED:
            del self._waiting[next(iter(self._waiting))]

    def next_begin(self, now: float) -> float | None:
        """When to call `begin`, in seconds on the caller's clock; None: not before another call."""
        if not self._waiting or len(self._outstanding) >= MAX_OUTSTANDING:
            return None
        return now if self._begun_at is None else max(now, self._begun_at + BARRIER_INTERVAL_S)

    def begin(self, now: float) -> WrittenBarrier | None:
        """The barrier to write now, if it is time. The write must begin after this call; what is asked
        from now on is answered by a later one.
        """
        due = self.next_begin(now)
        if due is None or now < due:
            return None
        answers = tuple(self._waiting)[:MAX_ANSWERED]
        for request in answers:
            del self._waiting[request]
        self._number, self._begun_at = self._number + 1, now
        barrier = WrittenBarrier(self._number, f"{self._connection}.b{self._number}", answers)
        self._outstanding.append(barrier)
        return barrier

    def fail(self, barrier: WrittenBarrier) -> None:
        """It was not written, or nobody knows whether: its requests wait for another one."""
        if barrier in self._outstanding:
            self._outstanding.remove(barrier)
            self._waiting = {**dict.fromkeys(barrier.answers), **self._waiting}

    def is_outstanding(self, name: str) -> bool:
        """Whether it is the name of a barrier that has not been recorded."""
        return any(each.name == name for each in self._outstanding)

    def pass_watermark(
        self, name: str, epoch: int, position: str, polls: int = 0
    ) -> BarrierRecord | None:
        """A watermark came back through the stream: returns the record to write after every change
        before it, if it is a barrier that proves something now.

        position: of the watermark. polls: complete polls that the source has emitted by then.
        """
        barrier = next((each for each in self._outstanding if each.name == name), None)
        if barrier is None:
            return None
        if not self._polled:
            return self._record(barrier, epoch, position)
        if barrier.polls is None:
            at = self._outstanding.index(barrier)
            self._outstanding[at] = replace(barrier, polls=polls + POLLS_AFTER_WATERMARK)
        return None

    def note_polls(self, polls: int, epoch: int, position: str) -> BarrierRecord | None:
        """A polling source has emitted so many complete polls, and everything up to `position`:
        returns the record to write after that, if a barrier is proved by them.
        """
        proved = [
            barrier
            for barrier in self._outstanding
            if barrier.polls is not None and barrier.polls <= polls
        ]
        return self._record(proved[-1], epoch, position) if proved else None

    def _record(self, last: WrittenBarrier, epoch: int, position: str) -> BarrierRecord:
        """Of the last barrier that is proved: what proves it proves those that were begun earlier."""
        earlier = [each for each in self._outstanding if each.number <= last.number]
        self._outstanding = [each for each in self._outstanding if each.number > last.number]
        answered = dict.fromkeys(request for each in earlier for request in each.answers)
        return BarrierRecord(last.number, epoch, position, tuple(answered))
