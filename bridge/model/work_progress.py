"""Whether work makes progress. The one definition of it: `status`, its exit code, the metrics and
the health page all use `find_stall`.

Progress is a query that the system answered completely (even with nothing new), a chunk of a
snapshot, a change that was written, a checkpoint or an offset that moved. A quiet source that
answers has no pending work; one that doesn't answer has. Pure: times are parameters, in
microseconds since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

STALLED_AFTER_S: Final = 15 * 60.0
"""Default time without progress, with work to do, after which something counts as stalled."""
CAPTURE_SILENT_AFTER_S: Final = 30.0
"""The same for a whole source: it is read each second, so three keep-alives were missed."""
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """The progress of one thing: the capture of a system, one of its entities, or a consumer group.

    name: `erp`, `erp.customer`, `acme.agent.credit-watch`.
    progressed_at: when it last made progress; 0: never, as far as known.
    owed_since: since when there has been work (or a pending query to the source) without progress;
    None: there is no work.
    reason: what blocks it, as far as known.
    lasting: it was refused, and waiting alone doesn't help.
    """

    kind: Literal["capture", "entity", "group"]
    name: str
    progressed_at: int
    owed_since: int | None = None
    reason: str = ""
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """Work that makes no progress although it should: since when, and why."""

    kind: Literal["capture", "entity", "group"]
    name: str
    since: int
    reason: str

    def seconds(self, now: int) -> float:
        """Its duration. If a clock was set back since, the clock's offset."""
        return abs(now - self.since) / MICROSECONDS


def find_stall(
    work: WorkProgress, now: int, stalled_after_s: float = STALLED_AFTER_S
) -> Stall | None:
    """The stall at this time, or None. Whole captures have a shorter limit than others."""
    if work.owed_since is None:
        return None
    limit_s = stalled_after_s
    if work.kind == "capture":
        limit_s = min(limit_s, CAPTURE_SILENT_AFTER_S)
    stall = Stall(work.kind, work.name, work.owed_since, work.reason or _UNKNOWN[work.kind])
    return stall if work.lasting or stall.seconds(now) > limit_s else None


_UNKNOWN: Final = {
    "capture": "its source has not answered since",
    "entity": "the reason is unknown",
    "group": "its members have finished nothing since then, or there are none",
}
