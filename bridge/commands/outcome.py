"""What one partition of a batch came to, as records of the log. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.commands.items import Item, Part
from bridge.commands.receipts import Course, settled
from bridge.log.fixed import FixedCodec
from bridge.log.port import Entry
from bridge.model import headers
from bridge.model.fixed import DeadLetter


@dataclass(slots=True)
class PartOutcome:
    """The records to append by topic, and who is to be told afterwards; `upto`: the next offset to
    read, which is that of the first command that `waits`.
    """

    upto: int
    waits: bool = False
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    courses: list[Course] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def add(self, topic: str, entry: Entry) -> None:
        """One more record of a topic."""
        self.entries.setdefault(topic, []).append(entry)


def outcome_of(part: Part, courses: Mapping[int, Course | None], codec: FixedCodec) -> PartOutcome:
    """Receipts, audit records and dead letters, up to the first command that waits; `courses` by
    the offsets of their commands.
    """
    found = PartOutcome(part.records[-1].offset + 1)
    for record in part.records:
        item = part.items.get(record.offset)
        if isinstance(item, DeadLetter):
            found.letters.append(item)
            found.add(codec.topic("dead"), codec.entry("dead", item.source, item))
        elif item is not None:
            course = courses[record.offset]
            if course is None:
                found.upto, found.waits = record.offset, True
                break
            found.courses.append(course)
            _enter(item, course, codec, found)
    return found


def _enter(item: Item, course: Course, codec: FixedCodec, found: PartOutcome) -> None:
    receipt = course.receipt
    if receipt is not None:
        trace = [pair for pair in item.headers if pair[0] == headers.TRACEPARENT]
        told = [*settled(receipt, item.command.digest), *trace]
        found.add(codec.topic("receipt"), codec.entry("receipt", item.target, receipt, told))
    for step in course.steps[course.written :]:
        found.add(codec.topic("audit"), codec.entry("audit", step.command_id, step))
