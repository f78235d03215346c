"""What one partition of a batch came to, as records of the log. No I/O."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.commands.incoming import IncomingCommand, PartitionBatch
from bridge.commands.receipts.builder import HELD_BACK, CommandLifecycle, settled
from bridge.commands.receipts.index import HeldRecord
from bridge.log.port import Entry, Headers, Record
from bridge.log.system_topics import SystemTopicCodec, UnreadableRecord, entry_size
from bridge.model import headers
from bridge.model.error_text import clean_text
from bridge.model.receipt import Receipt
from bridge.model.system_records import DeadLetter, SystemKey, SystemRecord, TopicKind


@dataclass(slots=True)
class PartitionRecords:
    """The records to append by topic, and who is to be told afterwards; `upto`: the next offset to
    read, which is that of the first command that `waits`.
    """

    upto: int
    waits: bool = False
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    courses: list[CommandLifecycle] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    held: dict[str, HeldRecord] = field(default_factory=dict)

    def add(self, topic: str, entry: Entry) -> None:
        """One more record of a topic."""
        self.entries.setdefault(topic, []).append(entry)


class RecordBuilder:
    """Makes the records. None takes more than `room` bytes: what doesn't fit, or no record can hold,
    is told in a few words instead, and in a dead letter where not even those fit.
    """

    def __init__(self, codec: SystemTopicCodec, room: int) -> None:
        self._codec = codec
        self._room = room

    def outcome_of(
        self, part: PartitionBatch, courses: Mapping[int, CommandLifecycle | None]
    ) -> PartitionRecords:
        """Receipts, audit records and dead letters, up to the first command that waits; `courses`
        by the offsets of their commands.
        """
        outcome = PartitionRecords(part.records[-1].offset + 1)
        for record in part.records:
            item = part.items.get(record.offset)
            if isinstance(item, DeadLetter):
                self._bury(item, outcome)
            elif item is not None:
                course = courses[record.offset]
                if course is None:
                    outcome.upto, outcome.waits = record.offset, True
                    break
                outcome.courses.append(course)
                self._enter(record, item, course, outcome)
        return outcome

    def outcome_of_held(
        self, taken_up: Iterable[tuple[IncomingCommand, CommandLifecycle]]
    ) -> PartitionRecords:
        """The same of commands whose records were passed by before; of those that go on waiting
        nothing new is said.
        """
        outcome = PartitionRecords(-1)
        for item, course in taken_up:
            if course.held and not course.written:
                continue
            outcome.courses.append(course)
            self._enter(None, item, course, outcome)
        return outcome

    def _enter(
        self,
        record: Record | None,
        item: IncomingCommand,
        course: CommandLifecycle,
        outcome: PartitionRecords,
    ) -> None:
        unwritable = []
        if course.held:
            held = HeldRecord(item.key, item.command.digest, item.timestamp)
            outcome.held[item.command.id] = held
        if course.receipt is not None and not self._receipt(item, course, outcome):
            unwritable.append("its receipt")
        for step in course.steps[course.written :]:
            forms = [step, replace(step, message=None, version=None)]
            entry = self._fitting("audit", step.command_id, forms)
            if entry is None:
                unwritable.append(f"that it is {step.state}")
            else:
                outcome.add(self._codec.topic("audit"), entry)
        if unwritable:
            self._bury(_unwritten(record, item, course, unwritable), outcome)

    def _receipt(
        self, item: IncomingCommand, course: CommandLifecycle, outcome: PartitionRecords
    ) -> bool:
        receipt = course.receipt
        assert receipt is not None, "asked for where there is one"  # noqa: S101 - for the types
        trace = [pair for pair in item.headers if pair[0] == headers.TRACEPARENT and pair[1]]
        since = (headers.HELD_SINCE, str(item.timestamp).encode())
        held = [since] if receipt.code == HELD_BACK else []
        answers = [] if course.aside else settled(receipt, item.command.digest)
        more = [*answers, *held, *trace]
        entry = self._fitting("receipt", item.target, [receipt, _brief(receipt)], more)
        if entry is not None:
            outcome.add(self._codec.topic("receipt"), entry)
        return entry is not None

    def _bury(self, letter: DeadLetter, outcome: PartitionRecords) -> None:
        outcome.letters.append(letter)
        outcome.add(self._codec.topic("dead"), self._codec.letter(letter, self._room))

    def _fitting(
        self, kind: TopicKind, key: SystemKey, forms: Sequence[SystemRecord], more: Headers = ()
    ) -> Entry | None:
        """The first of these forms of one record that the log can hold."""
        for form in forms:
            with contextlib.suppress(UnreadableRecord):
                entry = self._codec.entry(kind, key, form, more)
                if entry_size(entry) <= self._room:
                    return entry
        return None


def _unwritten(
    record: Record | None,
    item: IncomingCommand,
    course: CommandLifecycle,
    unwritable: Sequence[str],
) -> DeadLetter:
    """The dead letter of a command whose end the log can't hold."""
    last = course.steps[-1]
    return DeadLetter(
        kind="command",
        source=item.target.system,
        reason=clean_text(
            f"the command is {last.state} ({last.code or 'without a code'}), but the log can't "
            f"hold {', '.join(unwritable)}: the command is too large"
        ),
        at=last.at,
        topic=item.place.topic,
        partition=item.place.partition,
        offset=None if record is None else record.offset,
        error="RecordTooLarge",
        key=item.key,
        value=None if record is None else record.value,
    )


def _brief(receipt: Receipt) -> Receipt:
    """The same end in as few words as say that something was left out."""
    return replace(
        receipt,
        message="the receipt could not be written in full: "
        + clean_text(receipt.message or "", 200),
        result=None,
        version=None,
        position=None,
    )
