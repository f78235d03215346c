"""What capture needs from other stages; `bridge.wiring` provides it.

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

#: The names passed to `crash_point`: wherever a process is killed, nothing may be lost.
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
    """Builds entries of the dead-letter topic; implemented by
    `bridge.log.system_topics.SystemTopicCodec`.
    """

    async def open(self) -> None: ...

    def topic(self, kind: Literal["dead"]) -> str: ...

    def letter(self, letter: DeadLetter, room: int) -> Entry:
        """The entry of a letter, of at most `room` bytes whatever the letter contains."""


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """Bounds of one log transaction, one read and one chunk; times in seconds.

    changes: of one transaction.
    read: changes of one read of the source.
    size: bytes of values in one transaction.
    rows: of one chunk.
    keep_alive: interval at which an idle source's position is written.
    wait: how long one read waits.
    status: shortest interval between status records.
    backoff, longest_backoff: the first and the longest wait after a failure.
    successor: how long a fenced instance waits for the name of the one that took over.
    topics: interval at which capture checks that its topics still exist.
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
    """The dependencies of one source's capture.

    bridge: its name, the prefix of its topics.
    connector, system: what is captured.
    entities: of the system.
    log, registry: where records and their schemas go.
    dead: builds dead letters.
    clock: microseconds since 1970 UTC.
    monotonic: seconds.
    observer: receives notices, outside of any transaction.
    limits: see `CaptureLimits`.
    history_ms: how long change topics keep every record, in milliseconds; None: for ever.
    max_record_bytes: a larger record becomes a dead letter.
    mask_key: for masked fields; None: none are masked.
    snapshots: False: no snapshot of an entity at its first start.
    crash_point: called with each of `CRASH_POINTS`; tests kill the process there.
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
