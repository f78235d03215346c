"""Finds the records of held commands again, which the group's offsets have passed by."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bridge.commands.incoming import CommandDecoder, IncomingCommand
from bridge.commands.receipts.index import HeldRecord
from bridge.log.port import Log, TopicPartition
from bridge.log.read_to_end import read_past_markers
from bridge.model import framing, headers
from bridge.model.errors import RetryLater

RECORDS_PER_READ = 2000
READ_TIMEOUT_S = 30.0


async def find_held(
    log: Log,
    items: CommandDecoder,
    places: Collection[TopicPartition],
    held: Mapping[str, HeldRecord],
) -> list[IncomingCommand]:
    """Those of the commands that stand in these partitions, in their order. A record's offset is
    another one in a copied log; its timestamp is the same. Raises RetryLater while the log is away.
    """
    if not places or not held:
        return []
    since = min(record.timestamp for record in held.values())
    offsets = dict(await log.offsets_at(places, since))
    ends = await log.end_offsets(places)
    found: list[IncomingCommand] = []
    reader = await log.reader(offsets)
    try:
        while any(reader.position(place) < end for place, end in ends.items()):
            before = {place: reader.position(place) for place in places}
            records = await read_past_markers(reader, places, RECORDS_PER_READ, READ_TIMEOUT_S)
            if not records and all(reader.position(place) == at for place, at in before.items()):
                raise RetryLater(f"{log.name}: held commands could not be read again")
            for record in records:
                command_id = dict(record.headers).get(headers.ID, b"").decode(errors="replace")
                if command_id not in held:
                    continue
                item = await items.item(record)
                if item is not None and _is_same(item, held[command_id]):
                    found.append(item)
    finally:
        await reader.close()
    return found


def _is_same(item: IncomingCommand, held: HeldRecord) -> bool:
    """Whether it is the command that is held, not a copy under another key: keys are the same in both
    topics but for the schema's id.
    """
    keys = [(key or b"")[framing.HEADER_SIZE :] for key in (item.key, held.key)]
    return item.command.digest == held.digest and keys[0] == keys[1]
