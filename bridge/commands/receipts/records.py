"""Builds the log records for the results of one partition's commands. No I/O."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.commands.codes import HELD_BACK, outcome_headers
from bridge.commands.incoming import IncomingCommand, PartitionBatch
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.receipts.index import HeldRecord
from bridge.log.port import Entry, Headers, Record
from bridge.log.system_topics import SystemTopicCodec, UnreadableRecord, entry_size
from bridge.model import headers
from bridge.model.error_text import clean_text
from bridge.model.receipt import Receipt
from bridge.model.system_records import DeadLetter, SystemKey, SystemRecord, TopicKind


@dataclass(slots=True)
class PartitionRecords:
    """The records to append for one partition, and what to report once they are in the log.

    next_offset: the next offset to read.
    waits: whether the command at `next_offset` waits.
    entries: by topic.
    lifecycles: of the commands that the records are about.
    held: those of them that are held back, by command id.
    """

    next_offset: int
    waits: bool = False
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    lifecycles: list[CommandLifecycle] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    held: dict[str, HeldRecord] = field(default_factory=dict)

    def add(self, topic: str, entry: Entry) -> None:
        """One more record of a topic."""
        self.entries.setdefault(topic, []).append(entry)


class RecordBuilder:
    """Builds the records. A record that exceeds `max_record_bytes` or can't be encoded is
    shortened, or replaced by a dead letter if not even the short form fits.
    """

    def __init__(self, codec: SystemTopicCodec, max_record_bytes: int) -> None:
        self._codec = codec
        self._max_record_bytes = max_record_bytes

    def of_batch(
        self, batch: PartitionBatch, lifecycles: Mapping[int, CommandLifecycle | None]
    ) -> PartitionRecords:
        """Receipts, audit records and dead letters, up to the first command that waits.

        lifecycles: by offset; None for a command that waits.
        """
        records = PartitionRecords(batch.records[-1].offset + 1)
        for record in batch.records:
            command = batch.commands.get(record.offset)
            if isinstance(command, DeadLetter):
                self._bury(command, records)
            elif command is not None:
                lifecycle = lifecycles[record.offset]
                if lifecycle is None:
                    records.next_offset, records.waits = record.offset, True
                    break
                records.lifecycles.append(lifecycle)
                self._add_command(record, command, lifecycle, records)
        return records

    def of_held(
        self, resumed: Iterable[tuple[IncomingCommand, CommandLifecycle]]
    ) -> PartitionRecords:
        """The same for held commands, whose records were skipped before; nothing is written for
        those that continue to wait.
        """
        records = PartitionRecords(-1)
        for command, lifecycle in resumed:
            if lifecycle.is_held and not lifecycle.is_logged:
                continue
            records.lifecycles.append(lifecycle)
            self._add_command(None, command, lifecycle, records)
        return records

    def _add_command(
        self,
        record: Record | None,
        command: IncomingCommand,
        lifecycle: CommandLifecycle,
        records: PartitionRecords,
    ) -> None:
        unwritable = []
        if lifecycle.is_held:
            records.held[command.command.id] = HeldRecord(
                command.key, command.command.digest, command.timestamp
            )
        receipt = lifecycle.receipt
        if receipt is not None:
            entry = self._receipt_entry(command, receipt, superseded=lifecycle.is_superseded)
            if entry is None:
                unwritable.append("its receipt")
            else:
                records.add(self._codec.topic("receipt"), entry)
        for transition in lifecycle.unlogged:
            forms = [transition, replace(transition, message=None, version=None)]
            entry = self._fitting_entry("audit", transition.command_id, forms)
            if entry is None:
                unwritable.append(f"that it is {transition.state}")
            else:
                records.add(self._codec.topic("audit"), entry)
        if unwritable:
            self._bury(_letter_of_unwritable(record, command, lifecycle, unwritable), records)

    def _receipt_entry(
        self, command: IncomingCommand, receipt: Receipt, *, superseded: bool
    ) -> Entry | None:
        trace = [pair for pair in command.headers if pair[0] == headers.TRACEPARENT and pair[1]]
        held_since = (headers.HELD_SINCE, str(command.timestamp).encode())
        held = [held_since] if receipt.code == HELD_BACK else []
        outcome = [] if superseded else outcome_headers(receipt, command.command.digest)
        record_headers = [*outcome, *held, *trace]
        return self._fitting_entry(
            "receipt", command.target, [receipt, _shortened(receipt)], record_headers
        )

    def _bury(self, letter: DeadLetter, records: PartitionRecords) -> None:
        records.letters.append(letter)
        dead_letter = self._codec.letter(letter, self._max_record_bytes)
        records.add(self._codec.topic("dead"), dead_letter)

    def _fitting_entry(
        self,
        kind: TopicKind,
        key: SystemKey,
        forms: Sequence[SystemRecord],
        record_headers: Headers = (),
    ) -> Entry | None:
        """The first of these forms of one record that the log can hold."""
        for form in forms:
            with contextlib.suppress(UnreadableRecord):
                entry = self._codec.entry(kind, key, form, record_headers)
                if entry_size(entry) <= self._max_record_bytes:
                    return entry
        return None


def _letter_of_unwritable(
    record: Record | None,
    command: IncomingCommand,
    lifecycle: CommandLifecycle,
    unwritable: Sequence[str],
) -> DeadLetter:
    """The dead letter of a command whose result doesn't fit the log."""
    last = lifecycle.transitions[-1]
    return DeadLetter(
        kind="command",
        source=command.target.system,
        reason=clean_text(
            f"the command is {last.state} ({last.code or 'without a codef'}), but "
            f"{', '.join(unwritable)} "
            f"can't be written to the log: the command is too large"
        ),
        at=last.at,
        topic=command.partition.topic,
        partition=command.partition.partition,
        offset=None if record is None else record.offset,
        error="RecordTooLarge",
        key=command.key,
        value=None if record is None else record.value,
    )


def _shortened(receipt: Receipt) -> Receipt:
    """The receipt in its shortest form, which says that something was left out."""
    return replace(
        receipt,
        message="the receipt could not be written in full: "
        + clean_text(receipt.message or "", 200),
        result=None,
        version=None,
        position=None,
    )
