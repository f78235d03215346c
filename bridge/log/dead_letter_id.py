"""How a person identifies a dead letter: by its number, or by the event, position or record that it
is about, as printed in the log lines of `bridgectl run`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.log.port import Record
from bridge.model.system_records import DeadLetter

_NUMBER = re.compile(r"(?:(\d+)-)?(\d+)")
_POSITION = re.compile(r"[0-9a-fA-F]{4}-[0-9a-fA-F]{16}-[0-9a-fA-F]{10}")


@dataclass(frozen=True, slots=True)
class DeadLetterId:
    """`0-17` or `17` (partition None: any), else `about`: an event's id, a position, or
    `TOPIC:PARTITION:OFFSET`.
    """

    text: str
    partition: int | None = None
    offset: int | None = None
    about: str = ""

    def is_of(self, record: Record, letter: DeadLetter) -> bool:
        """Whether it identifies this letter, which is in `record`."""
        if self.offset is not None:
            return record.offset == self.offset and self.partition in (None, record.partition)
        record_position = f"{letter.topic}:{letter.partition}:{letter.offset}"
        return self.about in (letter.event_id, letter.position, record_position)


def parse_letter_id(text: str) -> DeadLetterId:
    """Raises ValueError for text that can't identify one."""
    number = _NUMBER.fullmatch(text)
    if number is not None:
        partition = None if number[1] is None else int(number[1])
        return DeadLetterId(text, partition, int(number[2]))
    if ":" in text or _POSITION.fullmatch(text):
        return DeadLetterId(text, about=text)
    raise ValueError(
        f"{text!r} is not a dead letter: write its number, such as 0-17, or the id of its event"
    )
