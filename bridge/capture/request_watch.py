"""What becomes of a request to capture, for who has sent it and watches. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.capture.checkpoint.record import SnapshotJob, SnapshotResult
from bridge.capture.control import nothing_lost
from bridge.capture.report.status_record import MICROSECONDS_PER_SECOND, TOO_OLD, SourceStatus

SILENT_AFTER_S: Final = 25.0
"""A source writes its progress at least every ten seconds."""
STARTED_WITHIN_S: Final = 5.0
"""One that has just been started may not have written over its predecessor's last report yet."""


def belongs_to_request(job_id: str, request_id: str) -> bool:
    """Whether a job or a result is of a request: those of several entities are numbered."""
    return job_id == request_id or job_id.rpartition("-")[0] == request_id


def rows_read(
    jobs: Sequence[SnapshotJob], results: Sequence[SnapshotResult]
) -> tuple[int, int | None]:
    """Rows read, and about how many there are (None: not known yet).

    jobs: those of the request that wait or are under way
    results: those that have ended
    """
    ended = sum(item.rows for item in results)
    total = ended + sum(max(job.total, job.rows) for job in jobs)
    return ended + sum(job.rows for job in jobs), total or None


def not_carried_out(system: str, status: SourceStatus | None, silent_s: float) -> str:
    """Why nobody carries a request out now; empty where somebody may.

    status: the system's last report; None: there is none
    silent_s: seconds since its capture has written how far it is
    """
    state = status.state if status is not None else "never started"
    if silent_s <= (STARTED_WITHIN_S if state == "stopped" else SILENT_AFTER_S):
        return ""
    why = f": {status.reason}" if status is not None and status.reason else ""
    return (
        f"capture of {system} doesn't run ({state}{why}); the request is kept and executed "
        "once it does: start `bridgectl run`"
    )


def no_loss_to_accept(system: str, status: SourceStatus | None, now: int) -> str:
    """Why an accepted loss would be used up for nothing: capture runs. Empty where it may not.

    now: microseconds since 1970
    """
    if status is None or status.state != "streaming":
        return ""
    age = abs(now - status.at) / MICROSECONDS_PER_SECOND
    return f"{nothing_lost(system)} (as of {age:.0f} s ago)" if age <= TOO_OLD else ""
