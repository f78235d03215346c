"""Whether something that should get on does. The one notion of progress: `status`, its exit code, the
metrics and the health page all ask `find_stall`.

Progress is: a question that the system answered completely (with nothing new, too), a chunk of a
snapshot, a change that was written, a checkpoint or an offset that moved. A quiet source that answers
owes nothing; one that doesn't answer does. Pure: times are handed in, in microseconds since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

STALLED_AFTER_S: Final = 15 * 60.0
"""By default something that has work to do may be without progress for so long."""
CAPTURE_SILENT_AFTER_S: Final = 30.0
"""The same of a whole source: it is read each second, so that three keep-alives were missed."""
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """How far one thing has got: the capture of a system, one entity of it, or a consumer group.

    name: `erp`, `erp.customer`, `acme.agent.credit-watch`.
    progressed_at: when it last made progress; 0: never, as far as is known.
    owed_since: since when there is work (or a question to the source) without any progress at it;
        None: nothing is to be done.
    reason: what holds it up, as far as is known.
    lasting: it was refused, and waiting alone changes nothing.
    """

    kind: Literal["capture", "entity", "group"]
    name: str
    progressed_at: int
    owed_since: int | None = None
    reason: str = ""
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """Something makes no progress although it should: since when, and why."""

    kind: Literal["capture", "entity", "group"]
    name: str
    since: int
    reason: str

    def seconds(self, now: int) -> float:
        """For how long. Where a clock was set back since, how far off it is."""
        return abs(now - self.since) / MICROSECONDS


def find_stall(
    work: WorkProgress, now: int, stalled_after_s: float = STALLED_AFTER_S
) -> Stall | None:
    """The stall that this is by now, or None. Whole captures have a shorter limit than the others."""
    if work.owed_since is None:
        return None
    limit_s = stalled_after_s
    if work.kind == "capture":
        limit_s = min(limit_s, CAPTURE_SILENT_AFTER_S)
    stall = Stall(work.kind, work.name, work.owed_since, work.reason or _UNKNOWN[work.kind])
    return stall if work.lasting or stall.seconds(now) > limit_s else None


_UNKNOWN: Final = {
    "capture": "its source has answered nothing since",
    "entity": "nobody says why",
    "group": "its members have finished nothing since, or there are none",
}
