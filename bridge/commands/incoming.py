"""Decodes records of the commands topic into commands for this system, or dead letters."""

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
    """One command as read from the log.

    key: the record's key bytes.
    timestamp: of the record, in milliseconds.
    """

    command: CommandRecord
    target: Target
    key: bytes | None
    partition: TopicPartition
    headers: Headers = ()
    timestamp: int = 0


@dataclass(slots=True)
class PartitionBatch:
    """One partition's part of a batch.

    records: all records, in order.
    commands: offset -> the record's command, or its dead letter; without those of other systems.
    """

    records: list[Record] = field(default_factory=list)
    commands: dict[int, IncomingCommand | DeadLetter] = field(default_factory=dict)


class CommandDecoder:
    """Decodes records for one system."""

    def __init__(self, system: str, codec: SystemTopicCodec, clock: Callable[[], datetime]) -> None:
        self._system = system
        self._codec = codec
        self._clock = clock

    async def by_partition(self, records: Sequence[Record]) -> dict[TopicPartition, PartitionBatch]:
        """Decode a batch, by partition, in order. Raises RetryLater while the registry is
        unavailable.
        """
        batches: dict[TopicPartition, PartitionBatch] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            batch = batches.setdefault(partition, PartitionBatch())
            batch.records.append(record)
            command = await self._decode(record)
            if command is not None:
                batch.commands[record.offset] = command
        return batches

    async def command_of(self, record: Record) -> IncomingCommand | None:
        """The record as a command of this system; None for any other record."""
        command = await self._decode(record)
        return command if isinstance(command, IncomingCommand) else None

    def is_own(self, key: bytes | None) -> bool:
        """Whether a receipt with this key may belong to a command of this system."""
        try:
            target = self._codec.decode_key("receipt", key or b"")
        except UnreadableRecord:
            return True
        return not isinstance(target, Target) or target.system == self._system

    async def _decode(self, record: Record) -> IncomingCommand | DeadLetter | None:
        """The command; a dead letter if the record isn't one; None if it is another system's."""
        try:
            target = self._codec.decode_key("command", record.key or b"")
            if isinstance(target, Target) and target.system != self._system:
                return None
            command = await self._codec.decode("command", record.value or b"")
        except UnreadableRecord as error:
            return self._dead_letter(record, error)
        if not isinstance(target, Target) or not isinstance(command, CommandRecord):
            return self._dead_letter(record, TypeError("the record is not a command"))
        partition = TopicPartition(record.topic, record.partition)
        return IncomingCommand(
            command, target, record.key, partition, record.headers, record.timestamp
        )

    def _dead_letter(self, record: Record, error: Exception) -> DeadLetter:
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
