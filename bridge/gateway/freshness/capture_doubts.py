"""Which doubts capture's own records raise about an entity. Pure.

The gateway doesn't import capture: `SupportsCheckpoint` is what it reads of a checkpoint record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from bridge.model.position import parse_position

# Causes of doubts about an entity.
UNFINISHED: Final = "snapshot"  # no snapshot is finished in this epoch
OPEN_JOB: Final = "job"  # a snapshot or comparison is requested or running, as after a TRUNCATE
PAUSED: Final = "pause"  # its changes are skipped
UNAVAILABLE: Final = "unavailable"  # it can't be captured now
INCOMPLETE: Final = "incomplete"  # its last snapshot or comparison was not completed
KEYLESS: Final = "dead_letter"  # a change was dead-lettered whose key is unknown
TOO_MANY: Final = "dead_letters"  # more keys are in doubt than are kept


class SupportsJob(Protocol):
    """Of a snapshot or comparison that is requested or running; see `SnapshotJob` of capture."""

    @property
    def id(self) -> str: ...
    @property
    def entity(self) -> str: ...
    @property
    def where(self) -> Mapping[str, Any] | None: ...
    @property
    def reconcile(self) -> bool: ...
    @property
    def deletes_only(self) -> bool: ...
    @property
    def reason(self) -> str: ...


class SupportsPause(Protocol):
    """Of a paused entity."""

    @property
    def reason(self) -> str: ...
    @property
    def skipped(self) -> int: ...


class SupportsResult(Protocol):
    """Of a snapshot or comparison that ended; `failed`: why it is incomplete, or empty."""

    @property
    def id(self) -> str: ...
    @property
    def entity(self) -> str: ...
    @property
    def failed(self) -> str: ...


class SupportsCheckpoint(Protocol):
    """Of a checkpoint record of capture."""

    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> str: ...
    @property
    def paused(self) -> Mapping[str, SupportsPause]: ...
    @property
    def jobs(self) -> Sequence[SupportsJob]: ...
    @property
    def taken(self) -> Mapping[str, str]: ...
    @property
    def results(self) -> Sequence[SupportsResult]: ...


def checkpoint_doubts(record: SupportsCheckpoint, entity: str) -> dict[str, str]:
    """The doubts about an entity that this record raises by itself: cause -> reason for people. All
    of them end with the first record that doesn't raise them.
    """
    doubts: dict[str, str] = {}
    if not _is_of_epoch(record.taken.get(entity, ""), record.epoch):
        doubts[UNFINISHED] = f"no snapshot of it is finished in epoch {record.epoch}"
    job = next((job for job in record.jobs if job.entity == entity), None)
    if job is not None:
        what = "comparison with its table" if job.reconcile else "snapshot"
        doubts[OPEN_JOB] = f"its {what} is not finished: {job.reason or job.id}"
    pause = record.paused.get(entity)
    if pause is not None:
        doubts[PAUSED] = f"it is paused, {pause.skipped} changes were skipped: {pause.reason}"
    return doubts


def _is_of_epoch(taken: str, epoch: int) -> bool:
    """Whether a first snapshot was finished in this epoch; empty for one that wasn't."""
    return bool(taken) and parse_position(taken).epoch == epoch


def fixes(job: SupportsJob, failed: SupportsJob | None) -> bool:
    """Whether `job`, completed, makes up for a snapshot or comparison that was not; None: one of
    which nothing is known, so that only a comparison of whole rows is enough.
    """
    if job.where is not None:
        return False
    if failed is None:
        return job.reconcile and not job.deletes_only
    reads_rows = not job.deletes_only or failed.deletes_only
    return reads_rows and (job.reconcile or not failed.reconcile)


def rereads_all_rows(job: SupportsJob) -> bool:
    """Whether it writes a record for each row of the table, or a dead letter."""
    return job.where is None and not job.deletes_only
