"""Hooks: what the core tells about itself, for Prometheus, OpenTelemetry and structlog to adapt.

The core calls `Observer.notice` with one of these frozen dataclasses and imports none of them.
Times in seconds; counts since the last notice of the same thing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from bridge.model.work_progress import WorkProgress


@dataclass(frozen=True, slots=True)
class Captured:
    """Changes of a system became visible in the log with one log transaction.

    `behind` is the age of the newest change's commit when it was written (None: unknown).
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
    """A source came up, went away or ended; `state` starting, streaming, retrying, stopped."""

    system: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PartState:
    """A part of a running bridge; `kind` capture, agent, commands, registry, reads (what agents need
    of a system), or bridge while its log or its registry is waited for, and once some of the log was
    deleted; `state` running, retrying, stopped, failed; of reads also opened, where the first try went
    well.
    """

    kind: str
    name: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupMoved:
    """A consumer group doesn't go on where it was: up to `missing` records were removed before it
    read them, or it has no offsets and begins at the beginning.
    """

    group: str
    topic: str
    missing: int
    reason: str


@dataclass(frozen=True, slots=True)
class GroupJoined:
    """A member of a consumer group has begun to read; told once a member."""

    group: str


@dataclass(frozen=True, slots=True)
class EntityPaused:
    """One entity is paused by itself; the others go on. Told anew at each start until it is resumed."""

    entity: str
    reason: str


@dataclass(frozen=True, slots=True)
class EntityState:
    """`unavailable`: one entity can't be captured for now, and goes on by itself once it can be;
    `captured`: it is again, also one that was paused. The others go on.
    """

    entity: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CaptureRemark:
    """One entity is captured in a slower or dearer way than it could be, and why; or that this is over.
    Reported once.
    """

    entity: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkReported:
    """How far captures, entities or groups have got, as of now: each is as new as its last report,
    and `bridge.model.work_progress.find_stall` says of it what that means by now. Reported every
    10 s at least, and each second at most, for as long as the part runs.
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
    """A comparison of an entity with its table didn't show rows that the system has, when asked for
    them by key (`present`), or can't be asked for (`unasked`): no delete was written for them.
    """

    entity: str
    present: int
    unasked: int
    reason: str


@dataclass(frozen=True, slots=True)
class CommandsHeld:
    """The commands of one declaration wait for what a person has to give (`reason`), and nothing else
    of their system does (`state` held); or they go on (`state` released).
    """

    system: str
    command: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetterWritten:
    """Something went to the dead-letter topic; `kind` row, record, event, command. What can be said
    of it: the row's key, `location` and `show`, by which `bridgectl dead` finds the letter, and, where
    a handler failed, which one, how often and where in it.
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
    """One try of a handler for an event ended; `outcome` done, retry, parked, echo. `seconds`: how
    long that try took, without the waits between tries.
    """

    agent: str
    handler: str
    entity: str
    outcome: str
    seconds: float
    commands: int


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A handler failed for an event, so many times of `attempts`. It is tried again in `wait`
    seconds; None: its agent stops there. `traceback` without values.
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
    """A handler waits with `events` events (0: no longer) for something that is away; `system` where
    it is one of the bridge's. `since` in seconds since 1970.
    """

    agent: str
    handler: str
    events: int
    since: float
    system: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HandlerBlocks:
    """A handler keeps its agent's event loop for itself: `seconds` of the last `window`. `where` is
    the line of the handler that was running; `reason` says what to do.
    """

    agent: str
    handler: str
    seconds: float
    window: float
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowsRead:
    """Reads asked of the gateway and the queries that they became."""

    system: str
    entity: str
    reads: int
    queries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """A system asked to be left alone for `seconds`; no read of it begins before that."""

    system: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class CommandMoved:
    """A command reached a state of `bridge.model.receipt.State`; `reason` where it isn't that it
    succeeded, `key` the canonical JSON of its row's.
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
    """The change that a command caused came back through capture."""

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
    """An observer that lets nothing out: who tells of the bridge must not be able to end it.

    A terminal or a pipe that is gone can't be told that it is gone, so what fails is left untold.
    """

    def observe(notice: Notice) -> None:
        with suppress(Exception):
            observer(notice)

    return observe


def both(first: Observer, second: Observer) -> Observer:
    """An observer that tells two, in this order."""

    def observe(notice: Notice) -> None:
        first(notice)
        second(notice)

    return observe
