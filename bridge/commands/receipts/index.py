"""Which commands already have their receipt, according to the log.

A command recurs when it is replayed, sent twice, or delivered again after a crash. The ledger has
those that took effect; whether these, or those that failed, have their receipt, only the log shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.commands.receipts.outcome_table import OutcomeTable, RecordedOutcome, recorded_outcome
from bridge.log.port import Consumer, Log, Record, TopicPartition
from bridge.log.read_to_end import read_until
from bridge.log.system_topics import SystemTopicCodec
from bridge.model import headers
from bridge.model.errors import RetryLater
from bridge.model.receipt import Outcome

MAX_RECORDS_PER_READ = 2000
POLL_PAUSE_S = 0.005
READ_TIMEOUT_S = 30.0
"""Seconds in which an intent of this process can be read: a transaction of another one hides it until
that has ended.
"""


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """What the log records about a command that is held back.

    key: the key of its receipt.
    digest: of its content.
    timestamp: of its record in the commands topic, in milliseconds.
    """

    key: bytes | None
    digest: str
    timestamp: int


class ReceiptIndex:
    """Follows the receipts of all systems; reads each once, and only its headers. Used by one task.

    Call `catch_up` before a batch; `add` and its like record what this process has just written,
    which an open transaction of another process may still hide from readers.

    instance: this process, as named in its intents (`IntentLog`); empty for one that writes none.
    """

    def __init__(self, log: Log, codec: SystemTopicCodec, instance: str = "") -> None:
        self._log = log
        self._topic = codec.topic("receipt")
        self._outcomes = OutcomeTable()
        self._instance = instance.encode()
        self._intended: dict[str, RecordedOutcome] = {}
        """What this process is about to do or did, for which it hasn't read a receipt yet."""
        self._generations: dict[str, int] = {}
        self._last_generation = 0
        self._started_elsewhere: set[str] = set()
        self._unreadable: dict[str, str] = {}
        self._held: dict[str, HeldRecord] = {}
        self._awaited_intents: set[bytes] = set()
        self._next_offsets: dict[TopicPartition, int] = {}
        self._reader: Consumer | None = None

    def get(self, command_id: str) -> RecordedOutcome | None:
        """The outcome of this id as of the last `catch_up`, including the intents of this
        process.
        """
        return self._outcomes.get(command_id) or self._intended.get(command_id)

    def logged(self, command_id: str) -> RecordedOutcome | None:
        """The outcome of this id in the log, excluding the intents of this process."""
        return self._outcomes.get(command_id)

    def generation(self, command_id: str) -> int:
        """Changes whenever another process starts this command or leaves it undecided; older results
        are stale.
        """
        return self._generations.get(command_id, 0)

    def unreadable_outcome(self, command_id: str) -> str:
        """Where this command's receipt with an outcome unknown to this version is, and what it
        says; empty if it has none. Only a person can decide whether the command has ended.
        """
        return self._unreadable.get(command_id, "")

    def is_started_elsewhere(self, command_id: str) -> bool:
        """Whether its last receipt is another process's intent."""
        return command_id in self._started_elsewhere

    @property
    def held(self) -> Mapping[str, HeldRecord]:
        """The commands that are held back, of all systems, by id."""
        return self._held

    def hold(self, command_id: str, record: HeldRecord) -> None:
        """This process has written that the command is held back: it has had no effect."""
        self.withdraw(command_id)
        self._held[command_id] = record

    def add(self, command_id: str, recorded: RecordedOutcome) -> None:
        """This process has written a receipt."""
        self._held.pop(command_id, None)
        self._intended.pop(command_id, None)
        self._outcomes.add(command_id, recorded)

    def dispute(self, command_id: str, digest: str) -> None:
        """This process has written that the ledger denies the command's success."""
        self._intended.pop(command_id, None)
        self._outcomes.dispute(command_id, digest)

    def intend(self, command_id: str, digest: str) -> None:
        """This process is about to write an intent."""
        self._intended[command_id] = recorded_outcome(digest, Outcome.UNKNOWN_OUTCOME)

    def withdraw(self, command_id: str) -> None:
        """This process has withdrawn its intent."""
        self._intended.pop(command_id, None)
        self._outcomes.withdraw(command_id)

    async def read_up_to(self, intents: Iterable[bytes]) -> None:
        """Read until these intents of this process, and so everything before them, have been read.
        Raises RetryLater while the log is unavailable, or hides them for too long.
        """
        self._awaited_intents = set(intents)
        waited_s = 0.0
        while self._awaited_intents:
            await self.catch_up()
            if self._awaited_intents:
                if waited_s > READ_TIMEOUT_S:
                    raise RetryLater(
                        f"{self._log.name}: {self._topic} could not be read up to what was written "
                        f"to it within {READ_TIMEOUT_S:.0f} s: another transaction is open there"
                    )
                await asyncio.sleep(POLL_PAUSE_S)
                waited_s += POLL_PAUSE_S

    async def catch_up(self) -> None:
        """Read what was written since the last call. Raises RetryLater while the log is
        unavailable.
        """
        if not self._next_offsets:
            info = (await self._log.topics())[self._topic]
            partitions = [TopicPartition(self._topic, number) for number in range(info.partitions)]
            self._next_offsets = dict(await self._log.beginning_offsets(partitions))
        ends = await self._log.end_offsets(self._next_offsets)
        if not self._is_behind(ends):
            return
        if self._reader is None:
            self._reader = await self._log.reader(self._next_offsets)
        try:
            batches = read_until(self._log, self._reader, ends, limit=MAX_RECORDS_PER_READ)
            async for records in batches:
                for record in records:
                    self._apply(record)
                self._next_offsets = {at: self._reader.position(at) for at in ends}
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the reader; `catch_up` opens it again."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def _is_behind(self, ends: Mapping[TopicPartition, int]) -> bool:
        return any(self._next_offsets[partition] < end for partition, end in ends.items())

    def _apply(self, record: Record) -> None:
        record_headers = dict(record.headers)
        id_bytes, digest_bytes = record_headers.get(headers.ID), record_headers.get(headers.DIGEST)
        if id_bytes is None or digest_bytes is None:
            return
        intent = record_headers.get(headers.INTENT)
        outcome = record_headers.get(headers.OUTCOME) or b""
        if intent is not None and intent.partition(b"/")[0] == self._instance:
            self._awaited_intents.discard(intent)
            return
        command_id = id_bytes.decode(errors="replace")
        digest = digest_bytes.decode(errors="replace")
        if intent is None:
            self._started_elsewhere.discard(command_id)
        else:
            self._started_elsewhere.add(command_id)
        if outcome == headers.HELD:
            held_since = _milliseconds(record_headers.get(headers.HELD_SINCE))
            self._held[command_id] = HeldRecord(record.key, digest, held_since)
        elif intent is None and outcome != headers.WITHDRAWN:
            self._held.pop(command_id, None)
        if outcome in (headers.WITHDRAWN, headers.HELD):
            self._generations.pop(command_id, None)
            self._outcomes.withdraw(command_id)
        elif outcome == headers.DISPUTED:
            self._next_generation(command_id)
            self._outcomes.dispute(command_id, digest)
        else:
            recorded = recorded_outcome(digest, self._outcome(outcome, record, command_id))
            if recorded.outcome == Outcome.UNKNOWN_OUTCOME:
                self._next_generation(command_id)
            else:
                self._generations.pop(command_id, None)
            self._outcomes.add(command_id, recorded)

    def _next_generation(self, command_id: str) -> None:
        self._last_generation += 1
        self._generations[command_id] = self._last_generation

    def _outcome(self, outcome_bytes: bytes, record: Record, command_id: str) -> Outcome:
        """An outcome that this version doesn't know counts as unknown and is remembered: if it were
        skipped, its command would be executed again.
        """
        try:
            outcome = Outcome(outcome_bytes.decode())
        except ValueError:
            self._unreadable[command_id] = (
                f"its receipt at partition {record.partition}, offset {record.offset} of "
                f"{self._topic} has an outcome that this version doesn't know "
                f"({outcome_bytes[:40]!r})"
            )
            return Outcome.UNKNOWN_OUTCOME
        if outcome != Outcome.UNKNOWN_OUTCOME:
            self._unreadable.pop(command_id, None)
        return outcome


def _milliseconds(text: bytes | None) -> int:
    """The timestamp in a header; 0 if it is invalid."""
    return int(text) if text is not None and text.isdigit() else 0
