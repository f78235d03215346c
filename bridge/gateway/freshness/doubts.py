"""What keeps a copy of an entity, or of one of its rows, from claiming anything. Pure.

While an entity or a key is in doubt the legacy system is asked. When a doubt of an entity ends, what
was proved meanwhile doesn't count (see `BarrierTracker.forget`), because what ended it, such as the
deletes of a comparison, was written after the high watermarks of those proofs were taken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from bridge.gateway.freshness.capture_doubts import (
    INCOMPLETE,
    KEYLESS,
    TOO_MANY,
    UNAVAILABLE,
    UNFINISHED,
    SupportsCheckpoint,
    SupportsJob,
    checkpoint_doubts,
    fixes,
    rereads_all_rows,
)
from bridge.model.framing import HEADER_SIZE
from bridge.model.freshness import NO_POSITION, Freshness
from bridge.model.system_records import DeadLetter

MAX_KEYS_IN_DOUBT: Final = 10_000
"""Per entity; with more, the entity is in doubt."""
LAST_POSITION: Final = "~"
"""After every position: of a dead letter that has none, so that nothing ends its doubt."""
CAPTURES_LETTERS: Final = ("row", "record", "unknown_kind")
"""Kinds of dead letters that may be a change which is missing in the log; the others are events and
commands that an agent or a target could not handle.
"""


def key_bytes(framed: bytes) -> bytes:
    """A record's key less its schema id, which is what identifies a row everywhere here."""
    return framed[HEADER_SIZE:]


class _EntityDoubts:
    """causes: -> reason. keys: -> position of the last dead letter. lost: the last position of a
    change that was dead-lettered and is kept by no key.
    """

    __slots__ = ("causes", "failed_job", "keys", "lost")

    def __init__(self) -> None:
        self.causes: dict[str, str] = {UNFINISHED: "no checkpoint of its source was read yet"}
        self.keys: dict[bytes, str] = {}
        self.lost = NO_POSITION
        self.failed_job: SupportsJob | None = None


class Doubts:
    """The doubts about the entities of one system. Used by one task.

    Records are handed in in the order of their partitions; checkpoint records and dead letters in
    any order to each other. Until a checkpoint was read, every entity is in doubt.
    """

    def __init__(self, system: str, entities: Iterable[str]) -> None:
        self._system = system
        self._entities = {entity: _EntityDoubts() for entity in entities}
        self._position: str | None = None
        self._jobs: dict[str, tuple[SupportsJob, str | None]] = {}
        self._results: frozenset[str] = frozenset()

    def read_checkpoint(self, record: SupportsCheckpoint) -> frozenset[str]:
        """A checkpoint record was read. Returns the entities of which a doubt or a job ended: hand
        them to `BarrierTracker.forget` before the record itself.
        """
        before = {name: frozenset(each.causes) for name, each in self._entities.items()}
        for name, doubts in self._entities.items():
            kept = {
                cause: reason
                for cause, reason in doubts.causes.items()
                if cause in (INCOMPLETE, KEYLESS, TOO_MANY, UNAVAILABLE)
            }
            doubts.causes = {**kept, **checkpoint_doubts(record, name)}
        concluded = frozenset(self._read_results(record))
        self._read_jobs(record)
        return concluded.union(
            name
            for name, causes in before.items()
            if causes.difference(self._entities[name].causes)
        )

    def read_status(self, unavailable: Mapping[str, str]) -> frozenset[str]:
        """A status record was read; `unavailable`: entities that can't be captured now, and why (its
        `troubles`). Returns the entities of which a doubt ended, as `read_checkpoint`.
        """
        ended = set()
        for name, doubts in self._entities.items():
            if name in unavailable:
                doubts.causes[UNAVAILABLE] = f"it can't be captured: {unavailable[name]}"
            elif doubts.causes.pop(UNAVAILABLE, None) is not None:
                ended.add(name)
        return frozenset(ended)

    def read_dead_letter(self, letter: DeadLetter, held: str = NO_POSITION) -> None:
        """A dead letter was read. `held`: the position of the last whole row (or delete) of its key
        that the follower has applied; `NO_POSITION`: none, or unknown.
        """
        system, _, entity = letter.source.partition(".")
        doubts = self._entities.get(entity)
        if system != self._system or doubts is None or letter.kind not in CAPTURES_LETTERS:
            return
        position = letter.position or LAST_POSITION
        if letter.key is None:
            _lose(doubts, KEYLESS, position, f"a row without a key failed: {letter.reason}")
            return
        key = key_bytes(letter.key)
        if position < held:
            return
        doubts.keys[key] = max(position, doubts.keys.get(key, NO_POSITION))
        if len(doubts.keys) > MAX_KEYS_IN_DOUBT:
            last = max(doubts.keys.values())
            doubts.keys.clear()
            _lose(doubts, TOO_MANY, last, f"more than {MAX_KEYS_IN_DOUBT} of its rows failed")

    def apply_row(self, entity: str, key: bytes, position: str, *, is_whole: bool) -> None:
        """The follower applied a change; `key` without its schema id. A delete is whole. A whole row
        that is later than the key's dead letter ends the key's doubt.
        """
        keys = self._entities[entity].keys
        if keys and is_whole and keys.get(key, LAST_POSITION) < position:
            del keys[key]

    def reasons(self, entity: str, key: bytes | None = None) -> tuple[str, ...]:
        """Why the entity, or this row of it, is in doubt; empty: it isn't."""
        doubts = self._entities[entity]
        reasons = tuple(doubts.causes.values())
        if key is not None and key in doubts.keys:
            return (*reasons, f"its change at {doubts.keys[key]} was dead-lettered")
        return reasons

    def is_in_doubt(self, entity: str) -> bool:
        """Whether the entity as a whole is."""
        return bool(self._entities[entity].causes)

    def keys_in_doubt(self, entity: str) -> Collection[bytes]:
        """The keys of rows in doubt, besides; as they are now and will be."""
        return self._entities[entity].keys.keys()

    def claim(self, entity: str, proved: Freshness, key: bytes) -> Freshness | None:
        """The claim about one row, of what barriers have proved; None: it is in doubt."""
        doubts = self._entities[entity]
        return None if doubts.causes or key in doubts.keys else proved

    def claim_of_list(self, entity: str, proved: Freshness) -> Freshness | None:
        """The claim about rows that match a condition: a row in doubt may match it now."""
        doubts = self._entities[entity]
        return None if doubts.causes or doubts.keys else proved

    def unresolved(self) -> Iterator[tuple[str, bytes | None, str]]:
        """The dead letters that keep something in doubt: entity, key (None: all of the entity) and
        position. Handed in again (`read_dead_letter`), they raise the same doubts.
        """
        for name, doubts in self._entities.items():
            for key, position in doubts.keys.items():
                yield name, key, position
            if KEYLESS in doubts.causes or TOO_MANY in doubts.causes:
                yield name, None, doubts.lost

    def _read_results(self, record: SupportsCheckpoint) -> Iterator[str]:
        """Note what ended since the last record; yields the entities."""
        for result in record.results:
            doubts = self._entities.get(result.entity)
            if doubts is None or result.id in self._results:
                continue
            yield result.entity
            job, since = self._jobs.get(result.id, (None, None))
            if result.failed:
                doubts.causes[INCOMPLETE] = f"its last snapshot is incomplete: {result.failed}"
                doubts.failed_job = job
            elif self._position is None:
                # Of results in the first record that is read, only their order is known.
                doubts.causes.pop(INCOMPLETE, None)
            elif job is not None:
                _complete(doubts, job, since)

    def _read_jobs(self, record: SupportsCheckpoint) -> None:
        """Note which jobs are new, and the last position before they were requested."""
        self._results = frozenset(result.id for result in record.results)
        self._jobs = {job.id: self._jobs.get(job.id, (job, self._position)) for job in record.jobs}
        self._position = record.position


def _lose(doubts: _EntityDoubts, cause: str, position: str, reason: str) -> None:
    doubts.causes[cause] = reason
    doubts.lost = max(doubts.lost, position)


def _complete(doubts: _EntityDoubts, job: SupportsJob, since: str | None) -> None:
    """A job was completed that was requested after position `since`."""
    if fixes(job, doubts.failed_job):
        doubts.causes.pop(INCOMPLETE, None)
    if since is not None and rereads_all_rows(job) and doubts.lost <= since:
        doubts.causes.pop(KEYLESS, None)
        doubts.causes.pop(TOO_MANY, None)
        doubts.lost = NO_POSITION
