"""What capture needs from outside of itself; wiring satisfies it.

Capture writes these topics: the change topics of its entities, `{bridge}.dead`, and the internal
`positions` (checkpoint records, see `progress`), `status` (see `health`) and `control` (requests
while running, see `control`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from bridge.connector import Connector, System
from bridge.log.port import Entry, Log
from bridge.log.registry_port import Registry
from bridge.model.specs import EntitySpec
from bridge.model.system_records import DeadLetter
from bridge.observe import Observer, ignore

HISTORY_MS: Final = 30 * 24 * 3600 * 1000

#: Where a process may be killed and must lose nothing: the names that `crash_point` is called with.
CRASH_POINTS: Final = (
    "producer.before",
    "producer.after",
    "open.before",
    "open.after",
    "first.before",
    "first.after",
    "append.before",
    "append.after",
    "commit.after",
    "ack.before",
    "ack.after",
    "low.before",
    "low.after",
    "chunk.after",
    "high.before",
    "high.after",
    "emit.before",
    "deletes.before",
)


class DeadLetters(Protocol):
    """Makes entries of the dead-letter topic; `bridge.log.system_topics.SystemTopicCodec` is one."""

    async def open(self) -> None: ...

    def topic(self, kind: Literal["dead"]) -> str: ...

    def letter(self, letter: DeadLetter, room: int) -> Entry:
        """The entry of a letter of at most `room` bytes, whatever it holds."""


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """Bounds of one log transaction, one read and one chunk; times in seconds.

    changes: of one transaction.
    read: changes of one read of the source.
    size: bytes of values in one transaction.
    rows: of one chunk.
    keep_alive: how often an idle source's position is written.
    wait: how long one read waits.
    status: how often a status record is written at most.
    backoff, longest_backoff: the first and the longest wait after a failure.
    successor: how long a fenced instance waits for the name of the one that took over.
    topics: how often capture checks that its topics still exist.
    """

    changes: int = 10_000
    read: int = 2_500
    size: int = 8_000_000
    rows: int = 10_000
    keep_alive: float = 10.0
    wait: float = 1.0
    status: float = 1.0
    backoff: float = 0.2
    longest_backoff: float = 30.0
    successor: float = 30.0
    topics: float = 30.0


@dataclass(frozen=True, slots=True)
class CaptureDependencies:
    """Everything that one source's capture is made of.

    bridge: its name, the prefix of its topics.
    connector, system: what is captured.
    entities: of the system.
    log, registry: where records and their schemas go.
    dead: makes dead letters.
    clock: microseconds since 1970 UTC.
    monotonic: seconds.
    observer: is given notices, outside of any transaction.
    limits: see `CaptureLimits`.
    history_ms: how long change topics keep every record; None: for ever.
    max_record_bytes: a larger record becomes a dead letter.
    mask_key: for masked fields; None: none are masked.
    snapshots: False: entities are not snapshot at their first start.
    crash_point: is called with each of `CRASH_POINTS`; tests end the process there.
    """

    bridge: str
    connector: Connector
    system: System
    entities: Sequence[EntitySpec]
    log: Log
    registry: Registry
    dead: DeadLetters
    clock: Callable[[], int]
    monotonic: Callable[[], float]
    observer: Observer = ignore
    limits: CaptureLimits = CaptureLimits()
    history_ms: int | None = HISTORY_MS
    max_record_bytes: int = 900_000
    mask_key: bytes | None = None
    snapshots: bool = True
    crash_point: Callable[[str], None] = lambda _: None
