"""Which commands have their receipt already, as the receipts in the log tell.

A command comes again when it is replayed, sent twice, or delivered again after a crash. The ledger
knows those that took effect; whether they, or those that failed, have their receipt, only the log
knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.commands.receipts.outcome_table import OutcomeTable, RecordedOutcome, recorded_outcome
from bridge.log.port import Consumer, Log, Record, TopicPartition
from bridge.log.read_to_end import read_past_markers
from bridge.log.system_topics import SystemTopicCodec
from bridge.model import headers
from bridge.model.errors import RetryLater
from bridge.model.receipt import Outcome

AT_ONCE = 2000
SOON = 0.005
PATIENCE = 30.0
"""Seconds without a record, although the log says there is one: then it is away."""


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """What the log says of a command that waits: whose key its receipt has, for which content, and the
    timestamp of its record in milliseconds.
    """

    key: bytes | None
    digest: str
    timestamp: int


class ReceiptIndex:
    """Follows the receipts of all systems: each is read once, its headers only.

    `catch_up` comes before a batch; `add` tells of what this process has just written, which a
    transaction of somebody else may still hide from readers.
    """

    def __init__(self, log: Log, codec: SystemTopicCodec, instance: str = "") -> None:
        self._log = log
        self._topic = codec.topic("receipt")
        self._answers = OutcomeTable()
        self._instance = instance.encode()
        self._mine: dict[str, RecordedOutcome] = {}
        """What this process is about to do or did, without a receipt yet that it knows of."""
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._begun: set[str] = set()
        self._foreign: dict[str, str] = {}
        self._held: dict[str, HeldRecord] = {}
        self._awaited: set[bytes] = set()
        self._at: dict[TopicPartition, int] = {}
        self._reader: Consumer | None = None

    def get(self, command_id: str) -> RecordedOutcome | None:
        """The receipt that stands for this id, as of the last `catch_up`."""
        return self._answers.get(command_id) or self._mine.get(command_id)

    def told(self, command_id: str) -> RecordedOutcome | None:
        """The same, without the intents of this process."""
        return self._answers.get(command_id)

    def turn(self, command_id: str) -> int:
        """Another number whenever somebody else has begun this command, or left it open: what was
        found out about it before is no longer certain then.
        """
        return self._turns.get(command_id, 0)

    def foreign(self, command_id: str) -> str:
        """Where this command's receipt stands whose outcome this version doesn't know, and what it
        says; empty where it has none. Only a person can tell whether the command has ended.
        """
        return self._foreign.get(command_id, "")

    def begun(self, command_id: str) -> bool:
        """Whether the last word on it is somebody else's that it is being carried out."""
        return command_id in self._begun

    @property
    def held(self) -> Mapping[str, HeldRecord]:
        """The commands that wait, of all systems, by id."""
        return self._held

    def hold(self, command_id: str, record: HeldRecord) -> None:
        """A receipt of this process: the command waits, and nothing of it has happened."""
        self.withdraw(command_id)
        self._held[command_id] = record

    def add(self, command_id: str, given: RecordedOutcome) -> None:
        """A receipt that this process has written."""
        self._held.pop(command_id, None)
        self._mine.pop(command_id, None)
        self._answers.add(command_id, given)

    def dispute(self, command_id: str, digest: str) -> None:
        """A receipt of this process: that the command succeeded isn't borne out by the ledger."""
        self._mine.pop(command_id, None)
        self._answers.dispute(command_id, digest)

    def intend(self, command_id: str, digest: str) -> None:
        """This process is about to write an intent."""
        self._mine[command_id] = recorded_outcome(digest, Outcome.UNKNOWN_OUTCOME)

    def withdraw(self, command_id: str) -> None:
        """This process has taken its intent back."""
        self._mine.pop(command_id, None)
        self._answers.withdraw(command_id)

    async def reach(self, intents: Iterable[bytes]) -> None:
        """Read until these intents of this process have come by, and all in front of them with
        them. Raises RetryLater while the log is away, or holds them back for long.
        """
        self._awaited = set(intents)
        waited = 0.0
        while self._awaited:
            await self.catch_up()
            if self._awaited:
                if waited > PATIENCE:
                    raise RetryLater(
                        f"{self._log.name}: {self._topic} could not be read up to what was written "
                        f"to it within {PATIENCE:.0f} s: another transaction is open there"
                    )
                await asyncio.sleep(SOON)
                waited += SOON

    async def catch_up(self) -> None:
        """Read what was written since the last time. Raises RetryLater while the log is away."""
        if not self._at:
            info = (await self._log.topics())[self._topic]
            places = [TopicPartition(self._topic, number) for number in range(info.partitions)]
            self._at = dict(await self._log.beginning_offsets(places))
        ends = await self._log.end_offsets(self._at)
        if all(self._at[place] >= end for place, end in ends.items()):
            return
        if self._reader is None:
            self._reader = await self._log.reader(self._at)
        try:
            while any(self._at[place] < end for place, end in ends.items()):
                await self._read(self._reader)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the log; `catch_up` may be called again all the same."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def _read(self, reader: Consumer) -> None:
        before = dict(self._at)
        records = await read_past_markers(reader, before, AT_ONCE, PATIENCE)
        for record in records:
            self._take(record)
        self._at = {place: reader.position(place) for place in before}
        if not records and self._at == before:
            raise RetryLater(
                f"{self._log.name}: {self._topic} could not be read to its end within "
                f"{PATIENCE:.0f} s"
            )

    def _take(self, record: Record) -> None:
        told = dict(record.headers)
        command_id, digest = told.get(headers.ID), told.get(headers.DIGEST)
        if command_id is None or digest is None:
            return
        intent, outcome = told.get(headers.INTENT), told.get(headers.OUTCOME) or b""
        if intent is not None and intent.partition(b"/")[0] == self._instance:
            self._awaited.discard(intent)
            return
        told_id = command_id.decode(errors="replace")
        if intent is None and outcome not in (headers.WITHDRAWN, headers.HELD):
            self._held.pop(told_id, None)
        (self._begun.add if intent is not None else self._begun.discard)(told_id)
        if outcome == headers.HELD:
            self._held[told_id] = HeldRecord(
                record.key,
                digest.decode(errors="replace"),
                _milliseconds(told.get(headers.HELD_SINCE)),
            )
        if outcome in (headers.WITHDRAWN, headers.HELD):
            self._turns.pop(told_id, None)
            self._answers.withdraw(told_id)
            return
        if outcome == headers.DISPUTED:
            self._turn += 1
            self._turns[told_id] = self._turn
            self._answers.dispute(told_id, digest.decode(errors="replace"))
            return
        found = recorded_outcome(
            digest.decode(errors="replace"), self._outcome(outcome, record, told_id)
        )
        if found.outcome == Outcome.UNKNOWN_OUTCOME:
            self._turn += 1
            self._turns[told_id] = self._turn
        else:
            self._turns.pop(told_id, None)
        self._answers.add(told_id, found)

    def _outcome(self, told: bytes, record: Record, command_id: str) -> Outcome:
        """One that this version doesn't know counts as unknown, and is kept in mind: left out, its
        command would be carried out again.
        """
        try:
            known = Outcome(told.decode())
        except ValueError:
            self._foreign[command_id] = (
                f"its receipt at partition {record.partition}, offset {record.offset} of "
                f"{self._topic} tells an outcome that this version doesn't know ({told[:40]!r})"
            )
            return Outcome.UNKNOWN_OUTCOME
        if known != Outcome.UNKNOWN_OUTCOME:
            self._foreign.pop(command_id, None)
        return known


def _milliseconds(text: bytes | None) -> int:
    """A timestamp of a header; the beginning of time for what is none."""
    return int(text) if text is not None and text.isdigit() else 0
