"""Records of the commands topic as what they are: commands for this system, or dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.log.port import Headers, Record, TopicPartition
from bridge.log.system_topics import SystemTopicCodec, UnreadableRecord
from bridge.model.command import CommandRecord
from bridge.model.error_text import error_message, error_name
from bridge.model.system_records import DeadLetter, Target


@dataclass(frozen=True, slots=True)
class IncomingCommand:
    """One command as it stands in the log, at `place`; `key` are its key bytes there, `timestamp` in
    milliseconds.
    """

    command: CommandRecord
    target: Target
    key: bytes | None
    place: TopicPartition
    headers: Headers = ()
    timestamp: int = 0


@dataclass(slots=True)
class PartitionBatch:
    """What a batch holds of one partition: its records, and what each is by its offset; those of
    other systems aren't among them.
    """

    records: list[Record] = field(default_factory=list)
    items: dict[int, IncomingCommand | DeadLetter] = field(default_factory=dict)


class CommandDecoder:
    """Tells what records are, for one system."""

    def __init__(self, system: str, codec: SystemTopicCodec, clock: Callable[[], datetime]) -> None:
        self._system = system
        self._codec = codec
        self._clock = clock

    async def parts(self, records: Sequence[Record]) -> dict[TopicPartition, PartitionBatch]:
        """A batch by partition, in order. Raises RetryLater while the registry is away."""
        parts: dict[TopicPartition, PartitionBatch] = {}
        for record in records:
            part = parts.setdefault(
                TopicPartition(record.topic, record.partition), PartitionBatch()
            )
            part.records.append(record)
            item = await self._item(record)
            if item is not None:
                part.items[record.offset] = item
        return parts

    async def item(self, record: Record) -> IncomingCommand | None:
        """A record that is a command of this system; None for any other."""
        item = await self._item(record)
        return item if isinstance(item, IncomingCommand) else None

    def is_own(self, key: bytes | None) -> bool:
        """Whether a receipt under this key may be of a command of this system."""
        try:
            target = self._codec.decode_key("receipt", key or b"")
        except UnreadableRecord:
            return True
        return not isinstance(target, Target) or target.system == self._system

    async def _item(self, record: Record) -> IncomingCommand | DeadLetter | None:
        """The command, a dead letter for what isn't one, None for another system's."""
        try:
            target = self._codec.decode_key("command", record.key or b"")
            if isinstance(target, Target) and target.system != self._system:
                return None
            command = await self._codec.decode("command", record.value or b"")
        except UnreadableRecord as error:
            return self._dead(record, error)
        if not isinstance(target, Target) or not isinstance(command, CommandRecord):
            return self._dead(record, TypeError("the record is no command"))
        place = TopicPartition(record.topic, record.partition)
        return IncomingCommand(command, target, record.key, place, record.headers, record.timestamp)

    def _dead(self, record: Record, error: Exception) -> DeadLetter:
        return DeadLetter(
            kind="command",
            source=self._system,
            reason=f"the record can't be read as a command: {error_message(error)}",
            at=self._clock(),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            error=error_name(error.__cause__ or error),
            key=record.key,
            value=record.value,
        )
