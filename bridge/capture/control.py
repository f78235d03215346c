"""Requests to a running capture, from any process: a small topic, read alongside the source.

Topic `_{bridge}.control`, one partition; key = the system's name, value = the JSON object that
`dump` writes. The next offset to read is in the checkpoint record, so each request takes effect
once. A request's progress is in the source's status record; its result, once it has ended, is in
the checkpoint record's `results`, under the request's id.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from bridge.capture.checkpoint.record import (
    RESUMED_REASON,
    CheckpointRecord,
    SnapshotJob,
    abandon,
    enqueue,
    resume,
)
from bridge.capture.checkpoint.store import read_range
from bridge.log.port import Entry, Log, TopicPartition, TopicSpec
from bridge.log.topic_specs import internal_topic_spec
from bridge.model.delete_limit import parse_delete_limit
from bridge.model.encoded_text import condition_from_json
from bridge.model.errors import Rejected
from bridge.model.names import CONTROL, internal_topic

Action = Literal["snapshot", "resume", "cancel", "accept_loss", "barrier"]


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A request to a source's capture.

    id: unique; the job's, and the result's.
    system: its name.
    action: snapshot: of `entity`, or of the rows that `where` names, or with deletes (`reconcile`).
    resume: a paused entity continues, and is reconciled. cancel: the snapshots of `entity`. accept_loss:
    a source that stopped because its history was lost resumes at its next start, in a new epoch,
    and everything is reconciled. barrier: the name of the request, `id`, appears in the `answered` of a
    barrier record (`bridge.capture.barriers`) once everything committed before the request is in the
    log; asked for again after a while without an answer.
    entity: bare name; empty: every entity of the system.
    where: source columns and values.
    reconcile: also write deletes for rows that are no longer in the table.
    max_deletes: how many, as `bridge.model.delete_limit` reads it; empty: what the entity declares.
    """

    id: str
    system: str
    action: Action
    entity: str = ""
    where: Mapping[str, Any] | None = None
    reconcile: bool = False
    max_deletes: str = ""


def request(
    system: str,
    action: Action,
    entity: str = "",
    *,
    where: Mapping[str, Any] | None = None,
    reconcile: bool = False,
    max_deletes: str = "",
) -> ControlRequest:
    """A request with a new id. Raises Rejected if its parts contradict each other."""
    if where and reconcile:
        raise Rejected(
            "bad_request",
            f"snapshot of {system}.{entity}: --reconcile compares the whole table with the log; "
            "leave the condition out",
        )
    if where is not None and not entity:
        raise Rejected("bad_request", f"a condition needs one entity of {system!r}: name it")
    try:
        parse_delete_limit(max_deletes)
    except ValueError as error:
        raise Rejected("bad_request", f"--max-deletes: {error}") from None
    return ControlRequest(
        uuid.uuid4().hex[:12], system, action, entity, where, reconcile, max_deletes
    )


def barrier_request(system: str, name: str) -> ControlRequest:
    """A request for a barrier, by a name that was never used for one."""
    return ControlRequest(name, system, "barrier")


def topic(bridge: str) -> TopicSpec:
    """The control topic."""
    return internal_topic_spec(bridge, CONTROL)


async def send(log: Log, bridge: str, request: ControlRequest) -> None:
    """Send a request. Returns when it is durable, not when it is done."""
    spec = topic(bridge)
    await log.create_topics([spec])
    await log.append(spec.name, [Entry(request.system.encode(), dump(request))])


async def since(
    log: Log, bridge: str, offset: int
) -> tuple[list[tuple[int, ControlRequest]], list[str]]:
    """All requests from `offset` to the current end, with their offsets; and a message about each
    record that isn't a request.
    """
    requests: list[tuple[int, ControlRequest]] = []
    left_out: list[str] = []
    for record in await read_range(log, partition(bridge), await first_unread(log, bridge, offset)):
        try:
            requests.append((record.offset, load(record.value)))
        except ValueError as error:
            left_out.append(left_out_text(record.offset, error))
    return requests, left_out


async def first_unread(log: Log, bridge: str, offset: int) -> int:
    """The first offset to read after `offset`. If the topic was deleted and recreated since, that
    is its
    beginning: otherwise as many requests would be ignored as the old topic had.
    """
    topic_partition = partition(bridge)
    begin = (await log.beginning_offsets([topic_partition]))[topic_partition]
    end = (await log.end_offsets([topic_partition]))[topic_partition]
    return begin if offset > end else max(begin, offset)


def left_out_text(offset: int, error: ValueError) -> str:
    """The message about a record that isn't a request."""
    return f"the record at offset {offset} of the control topic was skipped: {error}"


def partition(bridge: str) -> TopicPartition:
    """The partition of the requests."""
    return TopicPartition(internal_topic(bridge, CONTROL), 0)


def dump(request: ControlRequest) -> bytes:
    """The value of a request's record."""
    fields = asdict(request)
    if not request.max_deletes:
        # A capture of an earlier version doesn't know the field, and would skip the request.
        del fields["max_deletes"]
    return json.dumps(fields, separators=(",", ":")).encode()


def load(value: bytes | None) -> ControlRequest:
    """The request in a record's value. Raises ValueError if it isn't one."""
    try:
        document = ControlRequest(**json.loads(value or b""))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"not a request to capture: {error}") from error
    if document.action not in get_args(Action):
        raise ValueError(f"capture knows no request {document.action!r}")
    texts = (document.id, document.system, document.entity, document.max_deletes)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("not a request to capture: id, system and entity are not all texts")
    try:
        parse_delete_limit(document.max_deletes)
    except ValueError as error:
        raise ValueError(f"not a request to capture: {error}") from None
    reconcile: object = document.reconcile
    if not isinstance(reconcile, bool) or not _possible(document.where):
        raise ValueError("not a request to capture: its condition or `reconcile` is invalid")
    return document


def _possible(where: object) -> bool:
    """Whether it is None, or maps columns to values, or to lists of values."""
    if where is None:
        return True
    try:
        values = condition_from_json(where).values()  # type: ignore[arg-type,union-attr]
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return all(
        isinstance(choice, str | int | float | bytes | None)
        for value in values
        for choice in (value if isinstance(value, list) else [value])
    )


def apply(
    progress: CheckpointRecord, request: ControlRequest, entities: Mapping[str, bool], at: int
) -> CheckpointRecord:
    """The state after a request. `entities`: bare name -> whether snapshots of it are possible. A
    request that can't be done is recorded as a failed result.
    """
    names = [request.entity] if request.entity else list(entities)
    progress = replace(progress, at=at)
    for number, name in enumerate(names):
        job = SnapshotJob(
            request.id if len(names) == 1 else f"{request.id}-{number}",
            name,
            request.where,
            reconcile=request.reconcile or request.action in {"resume", "accept_loss"},
            max_deletes=request.max_deletes,
        )
        why = _refusal(progress, request, entities, name)
        if why:
            progress = abandon(progress, job, why)
        elif request.action == "accept_loss":
            progress = abandon(progress, job, nothing_lost(request.system))
        elif request.action == "cancel":
            for other in [job for job in progress.jobs if job.entity == name]:
                progress = abandon(progress, other, f"cancelled by {request.id}")
        elif request.action == "resume":
            if name in progress.paused:
                progress = enqueue(resume(progress, name), replace(job, reason=RESUMED_REASON))
        elif request.action == "snapshot":
            if name in progress.paused and request.reconcile:
                progress, job = resume(progress, name), replace(job, reason=RESUMED_REASON)
            progress = enqueue(progress, job)
    return progress


def nothing_lost(system: str) -> str:
    """The message if a loss is accepted for a system whose capture is running."""
    return (
        f"capture of {system!r} is running and has lost nothing: there is no loss to accept, and "
        f"nothing was done. To compare all of its tables with the log: bridgectl snapshot {system} "
        "--reconcile"
    )


def _refusal(
    progress: CheckpointRecord, request: ControlRequest, entities: Mapping[str, bool], name: str
) -> str:
    if name not in entities:
        can_snapshot = ", ".join(sorted(entities))
        return f"{request.system}.{name} is not an entity of this system; it has {can_snapshot}"
    if request.action in {"snapshot", "resume"} and not entities[name]:
        return f"the connector of {request.system!r} takes no snapshots"
    if request.action == "snapshot" and name in progress.paused and not request.reconcile:
        return (
            f"{request.system}.{name} is paused ({progress.paused[name].reason}): once that is "
            "fixed, resume it, which reconciles it"
        )
    return ""
