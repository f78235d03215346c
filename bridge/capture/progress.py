"""What capture knows about one source, as it stands in the log: the checkpoint record.

Topic `_{bridge}.positions`, one partition, compacted, key = the source's name in UTF-8, value =
the JSON object that `dump` writes. It is written in the same log transaction as the events that
it covers, so whoever has read a record with a position has all events up to it committed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.model.errors import ConfigurationError
from bridge.model.position import ZERO

FORMAT = 1
KEPT_RESULTS = 20

FIRST, TRUNCATED, STALE, AFTERWARDS = "first-", "truncate-", "stale-", "afterwards-"
"""What the ids of jobs begin with for which capture asked by itself; a person's are hexadecimal."""
ACCEPTED = "accepted-"
"""The same of those that follow from a loss that a person accepted: nobody waits for them."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why an entity is paused, since which position, and how many of its changes were left out."""

    reason: str
    position: str
    since: int
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Again:
    """Keys behind a cursor whose rows have to be read once more, because the stream told only
    part of them while their chunk was read.
    """

    after: tuple[Any, ...] | None
    keys: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Job:
    """A snapshot that was asked for or is under way.

    `after` resumes behind the last chunk that is in the log (None: from the beginning); `whole`
    says that the end of the table was reached, so that only `again` is left. `total` is an
    estimate. `where` is in source columns and values. A `reconcile` for `deletes_only` compares keys
    and writes no rows; it begins anew after a restart, as one does whose `since` is empty. `reason`:
    why capture asked for it.

    `since`, of a reconcile: the position behind which every record of its topic was told by the
    stream or by this job, so that its key was met. `spared`: framed keys that were met and are in no
    record, because their rows were set aside.
    """

    id: str
    entity: str
    where: Mapping[str, Any] | None = None
    reconcile: bool = False
    after: tuple[Any, ...] | None = None
    whole: bool = False
    again: tuple[Again, ...] = ()
    rows: int = 0
    total: int = 0
    chunks: int = 0
    deletes_only: bool = False
    reason: str = ""
    since: str = ""
    spared: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    """A snapshot that ended: how many `read` events and how many deletes it wrote.

    `failed` not empty: why it was given up.
    """

    id: str
    entity: str
    rows: int
    deleted: int
    position: str
    at: int
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of one source at a position.

    `checkpoint` None: nothing was captured yet. `counter` numbers changes of sources without an
    order of their own. `owner` names the running instance. `control` is the next offset of the
    control topic. `jobs` are snapshots in the order in which they are taken, the first one under
    way. `taken` tells for each entity at which position its first snapshot was complete.
    """

    epoch: int = 0
    checkpoint: bytes | None = None
    position: str = ZERO
    counter: int = 0
    owner: str = ""
    control: int = 0
    at: int = 0
    paused: Mapping[str, Pause] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    taken: Mapping[str, str] = field(default_factory=dict)
    results: tuple[Result, ...] = ()


def pause(progress: Progress, entity: str, why: Pause) -> Progress:
    """`entity` paused; its snapshots are given up, because resuming takes a new one."""
    for job in progress.jobs:
        if job.entity == entity:
            progress = abandon(progress, job, f"the entity was paused: {why.reason}")
    return replace(progress, paused={**progress.paused, entity: why})


def skip(progress: Progress, entity: str, count: int) -> Progress:
    """`count` more changes of a paused entity were left out."""
    why = progress.paused[entity]
    return replace(
        progress,
        paused={**progress.paused, entity: replace(why, skipped=why.skipped + count)},
    )


def resume(progress: Progress, entity: str) -> Progress:
    """`entity` no longer paused."""
    kept = {name: why for name, why in progress.paused.items() if name != entity}
    return replace(progress, paused=kept)


def enqueue(progress: Progress, job: Job) -> Progress:
    """`job` asked for. A reconcile takes the place of every other snapshot of its entity, since
    it reads the whole table anyway; what was replaced is recorded as given up.
    """
    if job.reconcile and not job.deletes_only:
        for other in progress.jobs:
            if other.entity == job.entity:
                progress = abandon(progress, other, f"replaced by {job.id}")
    return replace(progress, jobs=(*progress.jobs, job))


def advance(progress: Progress, job: Job) -> Progress:
    """The first job came this far."""
    return replace(progress, jobs=(job, *progress.jobs[1:]))


def prefer(progress: Progress, job: Job) -> Progress:
    """`job` goes on before all others, which keep their order."""
    others = tuple(other for other in progress.jobs if other.id != job.id)
    return replace(progress, jobs=(job, *others))


def nobody_asks_again(job: Job) -> bool:
    """Whether nobody looks at what becomes of it but capture, so that nobody would ask again."""
    return job.id.startswith((FIRST, TRUNCATED, STALE, AFTERWARDS, ACCEPTED))


def finish(progress: Progress, deleted: int) -> Progress:
    """The first job is complete; one that read all rows counts as the entity's first snapshot."""
    job = progress.jobs[0]
    taken = progress.taken
    if job.where is None and not job.deletes_only:
        taken = {**taken, job.entity: progress.position}
    progress = _ended(progress, job, deleted, "")
    return replace(progress, jobs=progress.jobs[1:], taken=taken)


def abandon(progress: Progress, job: Job, reason: str) -> Progress:
    """`job` can't be done, or is no longer wanted."""
    progress = _ended(progress, job, 0, reason)
    return replace(progress, jobs=tuple(other for other in progress.jobs if other.id != job.id))


def _ended(progress: Progress, job: Job, deleted: int, failed: str) -> Progress:
    rows = 0 if job.deletes_only else job.rows
    result = Result(
        job.id, job.entity, rows, deleted, progress.position, progress.at, failed=failed
    )
    return replace(progress, results=(*progress.results, result)[-KEPT_RESULTS:])


def dump(progress: Progress) -> bytes:
    """The record's value: one JSON object."""
    checkpoint = progress.checkpoint
    return json.dumps(
        {
            "format": FORMAT,
            "epoch": progress.epoch,
            "checkpoint": None if checkpoint is None else base64.b64encode(checkpoint).decode(),
            "position": progress.position,
            "counter": progress.counter,
            "owner": progress.owner,
            "control": progress.control,
            "at": progress.at,
            "paused": {
                name: {
                    "reason": why.reason,
                    "position": why.position,
                    "since": why.since,
                    "skipped": why.skipped,
                }
                for name, why in progress.paused.items()
            },
            "jobs": [_dump_job(job) for job in progress.jobs],
            "taken": dict(progress.taken),
            "results": [
                {
                    "id": result.id,
                    "entity": result.entity,
                    "rows": result.rows,
                    "deleted": result.deleted,
                    "position": result.position,
                    "at": result.at,
                    "failed": result.failed,
                }
                for result in progress.results
            ],
        },
        separators=(",", ":"),
    ).encode()


def _dump_job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "entity": job.entity,
        "where": None if job.where is None else dict(job.where),
        "reconcile": job.reconcile,
        "after": None if job.after is None else list(job.after),
        "whole": job.whole,
        "again": [
            {
                "after": None if part.after is None else list(part.after),
                "keys": _dump_keys(part.keys),
            }
            for part in job.again
        ],
        "rows": job.rows,
        "total": job.total,
        "chunks": job.chunks,
        "deletes_only": job.deletes_only,
        "reason": job.reason,
        "since": job.since,
        "spared": _dump_keys(job.spared),
    }


def _dump_keys(keys: frozenset[bytes]) -> list[str]:
    return sorted(base64.b64encode(key).decode() for key in keys)


def load(value: bytes, source: str) -> Progress:
    """The state in a record's value.

    Raises ConfigurationError when a newer version wrote it, or when it isn't one at all.
    """
    try:
        found = json.loads(value)
        version = found["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"the checkpoint record of {source!r} can't be read ({error!r}): something else wrote "
            "to the positions topic; give the bridge a topic prefix of its own"
        ) from error
    if version != FORMAT:
        raise ConfigurationError(
            f"the checkpoint record of {source!r} has format {version}, this version knows "
            f"{FORMAT}: run the version of legacy-bridge that wrote it"
        )
    checkpoint = found["checkpoint"]
    return Progress(
        epoch=found["epoch"],
        checkpoint=None if checkpoint is None else base64.b64decode(checkpoint),
        position=found["position"],
        counter=found["counter"],
        owner=found["owner"],
        control=found["control"],
        at=found["at"],
        paused={name: Pause(**why) for name, why in found["paused"].items()},
        jobs=tuple(_load_job(job) for job in found["jobs"]),
        taken=found["taken"],
        results=tuple(Result(**result) for result in found["results"]),
    )


def _load_job(found: dict[str, Any]) -> Job:
    return Job(
        id=found["id"],
        entity=found["entity"],
        where=found["where"],
        reconcile=found["reconcile"],
        after=_cursor(found["after"]),
        whole=found["whole"],
        again=tuple(
            Again(_cursor(part["after"]), _load_keys(part["keys"])) for part in found["again"]
        ),
        rows=found["rows"],
        total=found["total"],
        chunks=found["chunks"],
        # Records of the first version have none of these.
        deletes_only=found.get("deletes_only", False),
        reason=found.get("reason", ""),
        since=found.get("since", ""),
        spared=_load_keys(found.get("spared", [])),
    )


def _load_keys(found: list[str]) -> frozenset[bytes]:
    return frozenset(map(base64.b64decode, found))


def _cursor(found: list[Any] | None) -> tuple[Any, ...] | None:
    return None if found is None else tuple(found)


__all__ = [
    "ACCEPTED",
    "AFTERWARDS",
    "FIRST",
    "FORMAT",
    "STALE",
    "TRUNCATED",
    "Again",
    "Job",
    "Pause",
    "Progress",
    "Result",
    "abandon",
    "advance",
    "dump",
    "enqueue",
    "finish",
    "load",
    "nobody_asks_again",
    "pause",
    "prefer",
    "resume",
    "skip",
]
