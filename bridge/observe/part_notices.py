"""What every part of a running bridge reports: its state, its groups, its work, its dead letters."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model.work_progress import WorkProgress


@dataclass(frozen=True, slots=True)
class PartState:
    """A part of a running bridge changed its state.

    kind: capture, copy (what gateways answer from), agent, commands, registry, reads (an agent's reads of a system), or bridge (while
        it waits for its log or registry, or after part of the log was deleted)
    name: of the system, agent or registry
    state: running, retrying, stopped, failed; for reads also opened, if the first try succeeded
    reason: why it retries or failed
    """

    kind: str
    name: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupMoved:
    """A consumer group can't resume where it was.

    missing: upper bound of the records that were removed before the group had read them; 0: it has
        no offsets and starts at the beginning
    reason: the same as a sentence
    """

    group: str
    topic: str
    missing: int
    reason: str


@dataclass(frozen=True, slots=True)
class GroupJoined:
    """A member of a consumer group has started to read; once per member."""

    group: str


@dataclass(frozen=True, slots=True)
class WorkReported:
    """The progress of captures, entities or groups, as of now.

    `bridge.model.work_progress.find_stall` interprets it at a later time. Reported at least every
    10 s and at most every second while the part runs.
    """

    work: tuple[WorkProgress, ...]


@dataclass(frozen=True, slots=True)
class DeadLetterWritten:
    """A dead letter was written.

    kind: row, record, event, command
    source: `system.entity`, a system or an agent
    handler, attempts, traceback: set if a handler failed: its name, how often, and where
    key: the row's
    location: topic, partition and offset of the event
    show: the command line that shows the letter
    """

    kind: str
    source: str
    reason: str
    handler: str = ""
    entity: str = ""
    key: str = ""
    event_id: str = ""
    location: str = ""
    attempts: int = 1
    show: str = ""
    traceback: str = ""
