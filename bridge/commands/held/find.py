"""Finds the records of held commands, which are before the group's offsets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import aclosing

from bridge.commands.incoming import CommandDecoder, IncomingCommand
from bridge.commands.receipts.index import HeldRecord
from bridge.log.port import Log, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model import framing, headers

MAX_RECORDS_PER_READ = 2000


async def find_held(
    log: Log,
    decoder: CommandDecoder,
    partitions: Collection[TopicPartition],
    held: Mapping[str, HeldRecord],
) -> list[IncomingCommand]:
    """The held commands whose records are in these partitions, in order. Records are located by
    timestamp, because offsets differ in a copied log. Raises RetryLater while the log is
    unavailable.
    """
    if not partitions or not held:
        return []
    since = min(record.timestamp for record in held.values())
    offsets = dict(await log.offsets_at(partitions, since))
    commands: list[IncomingCommand] = []
    async with aclosing(read_to_end(log, offsets, limit=MAX_RECORDS_PER_READ)) as batches:
        async for records in batches:
            for record in records:
                command_id = dict(record.headers).get(headers.ID, b"").decode(errors="replace")
                if command_id not in held:
                    continue
                command = await decoder.command_of(record)
                if command is not None and _is_same(command, held[command_id]):
                    commands.append(command)
    return commands


def _is_same(command: IncomingCommand, held: HeldRecord) -> bool:
    """Whether it is the held command, not a copy under a different key. The keys in both topics
    differ only in the schema id.
    """
    keys = [(key or b"")[framing.HEADER_SIZE :] for key in (command.key, held.key)]
    return command.command.digest == held.digest and keys[0] == keys[1]
