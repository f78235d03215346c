"""Hooks: what the core reports about itself, for adapters to Prometheus, OpenTelemetry and
structlog.

The core calls an Observer with one of these frozen dataclasses and imports no adapter. Observers
are called synchronously, on the event loop: they must neither block nor raise (see `unfailing`).
Times are seconds; counts are increments since the previous notice of the same thing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from bridge.model.work_progress import WorkProgress


@dataclass(frozen=True, slots=True)
class Captured:
    """Changes of a system became visible in the log with one log transaction.

    behind: lag in seconds, from the newest change's commit until it was written (None: unknown)
    """

    system: str
    changes: int
    dead: int
    seconds: float
    behind: float | None
    position: str
    entities: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source started, became unavailable or ended.

    state: starting, streaming, retrying, stopped
    reason: why it retries or has stopped
    """

    system: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PartState:
    """A part of a running bridge changed its state.

    kind: capture, agent, commands, registry, reads (an agent's reads of a system), or bridge (while
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
class EntityPaused:
    """One entity is paused; the others continue. Reported again at each start until it is resumed."""

    entity: str
    reason: str


@dataclass(frozen=True, slots=True)
class EntityState:
    """One entity's capture was interrupted or resumed; other entities continue.

    state: unavailable (it can't be captured now, and resumes by itself once it can be) or captured
    (it is captured again, also after a pause)
    """

    entity: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CaptureRemark:
    """Why one entity is captured in a slower or more expensive way than possible, or that this is
    over. Reported once.
    """

    entity: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkReported:
    """The progress of captures, entities or groups, as of now.

    `bridge.model.work_progress.find_stall` interprets it at a later time. Reported at least every
    10 s and at most every second while the part runs.
    """

    work: tuple[WorkProgress, ...]


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """Rows of one entity's snapshot written so far; `total` is an estimate."""

    entity: str
    rows: int
    total: int
    done: bool


@dataclass(frozen=True, slots=True)
class DeletesWithheld:
    """A comparison of an entity with its table missed rows, for which no delete was written.

    present: how many of them the system returned when queried by key
    unasked: how many can't be queried by key
    """

    entity: str
    present: int
    unasked: int
    reason: str


@dataclass(frozen=True, slots=True)
class CommandsHeld:
    """The commands of one declaration are held, while others of their system continue.

    state: held, until a person does what `reason` says; released: they continue
    """

    system: str
    command: str
    state: str
    reason: str = ""


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


@dataclass(frozen=True, slots=True)
class Handled:
    """One attempt of a handler for an event ended.

    outcome: done, retry, parked, echo
    seconds: how long the attempt took, excluding waits between attempts
    commands: how many it returned
    """

    agent: str
    handler: str
    entity: str
    outcome: str
    seconds: float
    commands: int


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A handler failed for an event.

    failures: how often so far, of `attempts`
    wait: seconds until the next attempt; None: its agent stops
    traceback: without values
    """

    agent: str
    handler: str
    entity: str
    key: str
    event_id: str
    failures: int
    attempts: int
    wait: float | None
    reason: str
    traceback: str


@dataclass(frozen=True, slots=True)
class HandlerWaits:
    """A handler waits for something that is unavailable.

    events: how many wait; 0: none any more
    since: seconds since 1970
    system: where the bridge knows the system
    """

    agent: str
    handler: str
    events: int
    since: float
    system: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HandlerBlocks:
    """A handler blocks its agent's event loop.

    seconds: how long, within the last `window` seconds
    where: the line of the handler that was running
    reason: what to do about it
    """

    agent: str
    handler: str
    seconds: float
    window: float
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowsRead:
    """The gateway answered reads of one entity.

    reads: rows that were requested; queries: how many queries that took
    """

    system: str
    entity: str
    reads: int
    queries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """A system asked for a pause of `seconds`; no read of it starts before its end."""

    system: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class CommandMoved:
    """A command reached a state of `bridge.model.receipt.State`.

    repeated: the command already had a receipt
    key: canonical JSON of its row's key
    reason: empty for a success
    """

    command_id: str
    name: str
    state: str
    code: str = ""
    repeated: bool = False
    key: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The change that a command caused was captured."""

    command_id: str
    entity: str
    position: str


Notice = (
    Captured
    | SourceState
    | PartState
    | GroupMoved
    | GroupJoined
    | EntityPaused
    | EntityState
    | CaptureRemark
    | WorkReported
    | SnapshotProgress
    | CommandsHeld
    | DeletesWithheld
    | DeadLetterWritten
    | Handled
    | HandlerFailed
    | HandlerWaits
    | HandlerBlocks
    | RowsRead
    | Throttled
    | CommandMoved
    | Confirmed
)
Observer = Callable[[Notice], None]


def ignore(notice: Notice) -> None:
    """An observer that does nothing."""


def unfailing(observer: Observer) -> Observer:
    """An observer that never raises, so that reporting can't stop the bridge.

    Failures are dropped: a closed terminal or pipe can't show that it is closed.
    """

    def observe(notice: Notice) -> None:
        with suppress(Exception):
            observer(notice)

    return observe


def both(first: Observer, second: Observer) -> Observer:
    """An observer that calls two, in this order."""

    def observe(notice: Notice) -> None:
        first(notice)
        second(notice)

    return observe
