"""What capture reports: sources, entities, snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class Confirmed:
    """The change that a command caused was captured."""

    command_id: str
    entity: str
    position: str
