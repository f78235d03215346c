"""What capture knows about one source, as the log has it: the checkpoint record.

It is written in the same log transaction as the events that it covers, so whoever has read a record
with a position has all events up to it committed. `bridge.capture.checkpoint.codec` writes and reads it.
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
"""What the ids of jobs begin with for which capture asked by itself; a person's are hexadecimal."""
ACCEPTED_PREFIX = "accepted-"
"""The same of those that follow from a loss that a person accepted: nobody waits for them."""
RESUMED_REASON = "its entity was paused"
"""The `reason` of a comparison that a person requested to resume a paused entity."""

LEFT_OUT = ""
"""In place of the position of an entity's first snapshot: it is no longer declared, so that changes of it
are left out."""
WAS_LEFT_OUT_REASON = "its entity was not declared for a while"
"""The `reason` of the comparison that such an entity gets when it is declared again."""


@dataclass(frozen=True, slots=True)
class EntityPause:
    """Why an entity is paused. Stored by its field names.

    reason: with what resumes it.
    position: of the source when it was paused.
    since: microseconds since 1970 UTC.
    skipped: how many of its changes were left out.
    """

    reason: str
    position: str
    since: int
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class RereadKeys:
    """Keys after a cursor whose rows have to be read once more, because the stream had only a part
    of them while their chunk was read.
    """

    after: tuple[Any, ...] | None
    keys: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class SnapshotJob:
    """A snapshot or reconcile that was requested or is under way. Stored by `checkpoint.codec`.

    id: of the request; begins with one of the prefixes above where capture requested it itself.
    entity: bare name.
    where: source columns and values; None: the whole table.
    reconcile: deletes follow for keys that only the log has.
    after: cursor after the last chunk that is in the log; None: from the beginning.
    whole: the end of the table was reached, so that only `rereads` are left.
    rereads: rows to read once more.
    rows, total, chunks: how many are in the log, an estimate of all rows, how many chunks.
    deletes_only: a reconcile that compares keys and writes no rows; starts again after a restart.
    reason: why capture requested it.
    since: of a reconcile, the position after which every record of its topic came from the stream or
    from this job, so that its key was met; empty: it starts again after a restart.
    spared: framed keys that were met and are in no record, because their rows were dead-lettered.
    max_deletes: what the person who requested it set (`bridge.model.delete_limit`); empty: nothing.
    moved_at: when its last chunk was written, or it was first tried, in microseconds; 0: neither yet.
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
    failed: why it was given up, or is incomplete; empty: it is complete.
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

    epoch: of its history; grows when a loss was accepted.
    checkpoint: the source's own; None: nothing was captured yet.
    position: everything up to it is in the log.
    counter: the last number given to a change of a source without an order.
    owner: the running instance.
    control: the next offset of the control topic.
    at: when it was written, in microseconds.
    paused: entities by bare name.
    jobs: snapshots in the order in which they are taken, the first one under way.
    taken: at which position the first snapshot of each entity was complete, or `LEFT_OUT`.
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
    """`entity` paused; its snapshots are given up, because resuming takes a new one."""
    for job in progress.jobs:
        if job.entity == entity:
            progress = abandon(progress, job, f"the entity was paused: {why.reason}")
    return replace(progress, paused={**progress.paused, entity: why})


def skip(progress: CheckpointRecord, entity: str, count: int) -> CheckpointRecord:
    """`count` more changes of a paused entity were left out."""
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
    """Note which entities are no longer declared: their snapshots and pauses end, and they are
    compared with the log once they are declared again. The same object where there are none.
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
    """Whether the log has all of it, so that its topic must be there. One that was left out meanwhile is
    compared with its table anyway, and somebody may have removed its topic for good.
    """
    return progress.taken.get(entity, LEFT_OUT) != LEFT_OUT


def enqueue(progress: CheckpointRecord, job: SnapshotJob) -> CheckpointRecord:
    """`job` asked for. A reconcile takes the place of every other snapshot of its entity, since
    it reads the whole table anyway; what was replaced is recorded as given up.
    """
    if job.reconcile and not job.deletes_only:
        for other in progress.jobs:
            if other.entity == job.entity:
                if other.id.startswith(TRUNCATED_PREFIX) and not job.max_deletes:
                    # Nobody has to agree to what the source itself has reported.
                    job = replace(job, max_deletes="100%")
                progress = abandon(progress, other, f"replaced by {job.id}")
    return replace(progress, jobs=(*progress.jobs, job))


def advance(progress: CheckpointRecord, job: SnapshotJob) -> CheckpointRecord:
    """The first job came this far."""
    return replace(progress, jobs=(job, *progress.jobs[1:]))


def prefer(progress: CheckpointRecord, job: SnapshotJob) -> CheckpointRecord:
    """`job` continues before all others, which keep their order."""
    others = tuple(other for other in progress.jobs if other.id != job.id)
    return replace(progress, jobs=(job, *others))


def nobody_asks_again(job: SnapshotJob) -> bool:
    """Whether only capture waits for its result, so that nobody would request it again."""
    return job.id.startswith(
        (FIRST_PREFIX, TRUNCATED_PREFIX, STALE_PREFIX, AFTERWARDS_PREFIX, ACCEPTED_PREFIX)
    )


def finish(progress: CheckpointRecord, deleted: int, failed: str = "") -> CheckpointRecord:
    """The first job is complete; one that read all rows counts as the entity's first snapshot.
    `failed`: what it could not do.
    """
    job = progress.jobs[0]
    taken = progress.taken
    if job.where is None and not job.deletes_only:
        taken = {**taken, job.entity: progress.position}
    progress = _ended(progress, job, deleted, failed)
    return replace(progress, jobs=progress.jobs[1:], taken=taken)


def abandon(progress: CheckpointRecord, job: SnapshotJob, reason: str) -> CheckpointRecord:
    """`job` can't be done, or is no longer wanted."""
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
