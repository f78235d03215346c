"""The checkpoint record: the state of capture of one source, stored in the log.

It is written in the same log transaction as the events that it covers, so once a record with a
position can be read, all events up to that position are committed.
`bridge.capture.checkpoint.codec` writes and reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.model.position import ZERO

MAX_KEPT_RESULTS = 20

FIRST_PREFIX, TRUNCATED_PREFIX, STALE_PREFIX, AFTERWARDS_PREFIX = (
    "first-",
    "truncate-",
    "stale-",
    "afterwards-",
)
"""Prefix of the ids of jobs that capture requested itself; a person's ids are hexadecimal."""
ACCEPTED_PREFIX = "accepted-"
"""Prefix of the ids of jobs that follow from a loss that a person accepted: nobody waits for
them.
"""
RESUMED_REASON = "its entity was paused"
"""The `reason` of a comparison that a person requested to resume a paused entity."""

LEFT_OUT = ""
"""Replaces the position of an entity's first snapshot while the entity isn't declared and its
changes are skipped.
"""
WAS_LEFT_OUT_REASON = "its entity was not declared for a while"
"""The `reason` of the comparison when such an entity is declared again."""


@dataclass(frozen=True, slots=True)
class EntityPause:
    """Why an entity is paused. Stored by its field names.

    reason: includes how to resume it.
    position: of the source when it was paused.
    since: microseconds since 1970 UTC.
    skipped: how many of its changes were skipped.
    """

    reason: str
    position: str
    since: int
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class RereadKeys:
    """Keys after a cursor whose rows have to be read again, because the stream had only part of
    these rows while their chunk was read.
    """

    after: tuple[Any, ...] | None
    keys: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class SnapshotJob:
    """A snapshot or reconcile that was requested or is running. Stored by `checkpoint.codec`.

    id: of the request; begins with one of the prefixes above where capture requested it itself.
    entity: bare name.
    where: source columns and values; None: the whole table.
    reconcile: deletes follow for keys that only the log has.
    after: cursor after the last chunk that is in the log; None: from the beginning.
    whole: the end of the table was reached; only `rereads` are left.
    rereads: rows to read once more.
    rows, total, chunks: how many are in the log, an estimate of all rows, how many chunks.
    deletes_only: a reconcile that compares keys and writes no rows; starts again after a restart.
    reason: why capture requested it.
    since: of a reconcile, the position after which every record of its topic came from the stream
    or from this job, so its key exists; empty: it starts over after a restart.
    spared: framed keys that exist but are in no record, because their rows were dead-lettered.
    max_deletes: the limit set by the requester (`bridge.model.delete_limit`); empty: none.
    moved_at: when its last chunk was written, or it was first tried, in microseconds; 0: neither
    yet.
    """

    id: str
    entity: str
    where: Mapping[str, Any] | None = None
    reconcile: bool = False
    after: tuple[Any, ...] | None = None
    whole: bool = False
    rereads: tuple[RereadKeys, ...] = ()
    rows: int = 0
    total: int = 0
    chunks: int = 0
    deletes_only: bool = False
    reason: str = ""
    since: str = ""
    spared: frozenset[bytes] = frozenset()
    max_deletes: str = ""
    moved_at: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """A snapshot that ended. Stored by its field names.

    id, entity: of its job.
    rows: `read` events written.
    deleted: deletes written.
    position: of the source at its end.
    at: microseconds since 1970 UTC.
    failed: why it was abandoned, or is incomplete; empty: it is complete.
    """

    id: str
    entity: str
    rows: int
    deleted: int
    position: str
    at: int
    failed: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The state of one source at a position.

    epoch: of its history; increased when a loss is accepted.
    checkpoint: the source's own; None: nothing was captured yet.
    position: everything up to it is in the log.
    counter: the last number assigned to a change of a source without an order.
    owner: the running instance.
    control: the next offset of the control topic.
    at: when it was written, in microseconds.
    paused: entities by bare name.
    jobs: snapshots in the order in which they are taken; the first one is running.
    taken: entity -> position at which its first snapshot was complete, or `LEFT_OUT`.
    results: of the last snapshots.
    """

    epoch: int = 0
    checkpoint: bytes | None = None
    position: str = ZERO
    counter: int = 0
    owner: str = ""
    control: int = 0
    at: int = 0
    paused: Mapping[str, EntityPause] = field(default_factory=dict)
    jobs: tuple[SnapshotJob, ...] = ()
    taken: Mapping[str, str] = field(default_factory=dict)
    results: tuple[SnapshotResult, ...] = ()


def pause(progress: CheckpointRecord, entity: str, why: EntityPause) -> CheckpointRecord:
    """Pause `entity` and abandon its snapshots, because resuming requests a new one."""
    for job in progress.jobs:
        if job.entity == entity:
            progress = abandon(progress, job, f"the entity was paused: {why.reason}")
    return replace(progress, paused={**progress.paused, entity: why})


def skip(progress: CheckpointRecord, entity: str, count: int) -> CheckpointRecord:
    """Count `count` more skipped changes of a paused entity."""
    why = progress.paused[entity]
    return replace(
        progress,
        paused={**progress.paused, entity: replace(why, skipped=why.skipped + count)},
    )


def resume(progress: CheckpointRecord, entity: str) -> CheckpointRecord:
    """`entity` no longer paused."""
    kept = {name: why for name, why in progress.paused.items() if name != entity}
    return replace(progress, paused=kept)


def leave_out(progress: CheckpointRecord, declared: Collection[str]) -> CheckpointRecord:
    """Record which entities are no longer declared: their snapshots and pauses end, and they are
    compared with the log once they are declared again. Returns the same object if there are none.
    """
    gone = {*progress.taken, *progress.paused, *(job.entity for job in progress.jobs)}
    gone = {name for name in gone.difference(declared) if progress.taken.get(name) != LEFT_OUT}
    if not gone:
        return progress
    for job in progress.jobs:
        if job.entity in gone:
            progress = abandon(progress, job, "the entity is no longer declared")
    return replace(
        progress,
        paused={name: why for name, why in progress.paused.items() if name not in gone},
        taken={**progress.taken, **dict.fromkeys(gone, LEFT_OUT)},
    )


def was_captured(progress: CheckpointRecord, entity: str) -> bool:
    """Whether the log has all of it, so its topic must exist. False for an entity that wasn't
    declared
    meanwhile: it is compared with its table anyway, and its topic may have been removed on purpose.
    """
    return progress.taken.get(entity, LEFT_OUT) != LEFT_OUT


def enqueue(progress: CheckpointRecord, job: SnapshotJob) -> CheckpointRecord:
    """Add a requested `job`. A reconcile replaces every other snapshot of its entity, because it
    reads the whole table anyway; replaced jobs are recorded as abandoned.
    """
    if job.reconcile and not job.deletes_only:
        for other in progress.jobs:
            if other.entity == job.entity:
                if other.id.startswith(TRUNCATED_PREFIX) and not job.max_deletes:
                    # The source itself reported the loss, so it needs no approval.
                    job = replace(job, max_deletes="100%")
                progress = abandon(progress, other, f"replaced by {job.id}")
    return replace(progress, jobs=(*progress.jobs, job))


def advance(progress: CheckpointRecord, job: SnapshotJob) -> CheckpointRecord:
    """Replace the first job by its new state."""
    return replace(progress, jobs=(job, *progress.jobs[1:]))


def prefer(progress: CheckpointRecord, job: SnapshotJob) -> CheckpointRecord:
    """Move `job` to the front; the others keep their order."""
    others = tuple(other for other in progress.jobs if other.id != job.id)
    return replace(progress, jobs=(job, *others))


def nobody_asks_again(job: SnapshotJob) -> bool:
    """Whether only capture waits for its result, so no person would request it again."""
    return job.id.startswith(
        (FIRST_PREFIX, TRUNCATED_PREFIX, STALE_PREFIX, AFTERWARDS_PREFIX, ACCEPTED_PREFIX)
    )


def finish(progress: CheckpointRecord, deleted: int, failed: str = "") -> CheckpointRecord:
    """Complete the first job; if it read all rows it counts as the entity's first snapshot.
    `failed`: what it could not do.
    """
    job = progress.jobs[0]
    taken = progress.taken
    if job.where is None and not job.deletes_only:
        taken = {**taken, job.entity: progress.position}
    progress = _ended(progress, job, deleted, failed)
    return replace(progress, jobs=progress.jobs[1:], taken=taken)


def abandon(progress: CheckpointRecord, job: SnapshotJob, reason: str) -> CheckpointRecord:
    """Remove `job`, which is impossible or no longer wanted, and record the reason."""
    progress = _ended(progress, job, 0, reason)
    return replace(progress, jobs=tuple(other for other in progress.jobs if other.id != job.id))


def _ended(
    progress: CheckpointRecord, job: SnapshotJob, deleted: int, failed: str
) -> CheckpointRecord:
    rows = 0 if job.deletes_only else job.rows
    result = SnapshotResult(
        job.id, job.entity, rows, deleted, progress.position, progress.at, failed=failed
    )
    return replace(progress, results=(*progress.results, result)[-MAX_KEPT_RESULTS:])


__all__ = [
    "ACCEPTED_PREFIX",
    "AFTERWARDS_PREFIX",
    "FIRST_PREFIX",
    "LEFT_OUT",
    "RESUMED_REASON",
    "STALE_PREFIX",
    "TRUNCATED_PREFIX",
    "WAS_LEFT_OUT_REASON",
    "CheckpointRecord",
    "EntityPause",
    "RereadKeys",
    "SnapshotJob",
    "SnapshotResult",
    "abandon",
    "advance",
    "enqueue",
    "finish",
    "leave_out",
    "nobody_asks_again",
    "pause",
    "prefer",
    "resume",
    "skip",
    "was_captured",
]
