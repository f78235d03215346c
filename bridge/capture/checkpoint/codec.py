"""The checkpoint record: how the state of a source is stored in the log. Pure.

Topic `_{bridge}.positions`, one partition, compacted, key = the source's name in UTF-8, value =
the JSON object that `dump` writes.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from bridge.capture.checkpoint.record import (
    CheckpointRecord,
    EntityPause,
    RereadKeys,
    SnapshotJob,
    SnapshotResult,
)
from bridge.model.error_text import describe_error
from bridge.model.errors import ConfigurationError

FORMAT = 1


def dump(progress: CheckpointRecord) -> bytes:
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


def _dump_job(job: SnapshotJob) -> dict[str, Any]:
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
            for part in job.rereads
        ],
        "rows": job.rows,
        "total": job.total,
        "chunks": job.chunks,
        "deletes_only": job.deletes_only,
        "reason": job.reason,
        "since": job.since,
        "spared": _dump_keys(job.spared),
        "max_deletes": job.max_deletes,
        "moved_at": job.moved_at,
    }


def _dump_keys(keys: frozenset[bytes]) -> list[str]:
    return sorted(base64.b64encode(key).decode() for key in keys)


def load(value: bytes, source: str) -> CheckpointRecord:
    """The state in a record's value.

    Raises ConfigurationError if a newer version wrote it, or if it isn't a checkpoint record.
    """
    try:
        document = json.loads(value)
        version = document["format"]
    except Exception as error:
        raise _foreign(source, error) from error
    if version != FORMAT:
        raise ConfigurationError(
            f"the checkpoint record of {source!r} has format {version}, this version knows "
            f"{FORMAT}: run the version of legacy-bridge that wrote it"
        )
    try:
        return _progress(document)
    except Exception as error:
        raise _foreign(source, error) from error


def _foreign(source: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the checkpoint record of {source!r} can't be read ({describe_error(error, 200)}): something "
        "else wrote to the positions topic; give the bridge a topic prefix of its own"
    )


def _progress(document: dict[str, Any]) -> CheckpointRecord:
    checkpoint = document["checkpoint"]
    return CheckpointRecord(
        epoch=document["epoch"],
        checkpoint=None if checkpoint is None else base64.b64decode(checkpoint),
        position=document["position"],
        counter=document["counter"],
        owner=document["owner"],
        control=document["control"],
        at=document["at"],
        paused={name: EntityPause(**why) for name, why in document["paused"].items()},
        jobs=tuple(_load_job(job) for job in document["jobs"]),
        taken=document["taken"],
        results=tuple(SnapshotResult(**result) for result in document["results"]),
    )


def _load_job(document: dict[str, Any]) -> SnapshotJob:
    return SnapshotJob(
        id=document["id"],
        entity=document["entity"],
        where=document["where"],
        reconcile=document["reconcile"],
        after=_cursor(document["after"]),
        whole=document["whole"],
        rereads=tuple(
            RereadKeys(_cursor(part["after"]), _load_keys(part["keys"]))
            for part in document["again"]
        ),
        rows=document["rows"],
        total=document["total"],
        chunks=document["chunks"],
        # Records of the first version have none of these.
        deletes_only=document.get("deletes_only", False),
        reason=document.get("reason", ""),
        since=document.get("since", ""),
        spared=_load_keys(document.get("spared", [])),
        max_deletes=document.get("max_deletes", ""),
        moved_at=document.get("moved_at", 0),
    )


def _load_keys(encoded_keys: list[str]) -> frozenset[bytes]:
    return frozenset(map(base64.b64decode, encoded_keys))


def _cursor(key_values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if key_values is None else tuple(key_values)
