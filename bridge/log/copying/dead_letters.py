"""Converts dead letters for another log."""

from __future__ import annotations

from dataclasses import replace

from bridge.log.copying.schema_ids import SchemaIds
from bridge.log.port import Entry, Record
from bridge.model import framing, system_records
from bridge.model.avro_limits import parse_bounded
from bridge.model.errors import ConfigurationError
from bridge.model.system_records import DeadLetter


async def dead_letter(record: Record, ids: SchemaIds) -> Entry:
    """Dead letters contain the key and value of a record, and its partition and offset. A record
    that isn't a dead letter, because another program wrote it, is copied like any other record.
    """
    key = await ids.frame(record.key, record.topic, "key")
    if record.value is None:
        return Entry(key, None)
    letter = await _letter(record.value, ids)
    if letter is None:
        return Entry(key, await ids.frame(record.value, record.topic, "value"))
    about = letter.topic or record.topic
    moved = replace(
        letter,
        key=await _frame(letter.key, about, "key", ids),
        value=await _frame(letter.value, about, "value", ids),
        # Offsets differ in the target: none is better than a wrong one.
        partition=None,
        offset=None,
    )
    [_, text] = system_records.schema_texts("dead")
    framed = await ids.current(record.topic, text)
    return Entry(key, framed + system_records.encode("dead", moved))


async def _frame(data: bytes | None, topic: str, part: str, ids: SchemaIds) -> bytes | None:
    """As `SchemaIds.frame`; None for a record that was dead-lettered because its schema is missing:
    in the target its id would belong to another schema.
    """
    try:
        return await ids.frame(data, topic, part)
    except ConfigurationError:
        return None


async def _letter(value: bytes, ids: SchemaIds) -> DeadLetter | None:
    if len(value) < framing.HEADER_SIZE or value[0] != framing.MAGIC:
        return None
    text = await ids.text(value)
    try:
        letter = system_records.decode("dead", value[framing.HEADER_SIZE :], parse_bounded(text))
    except Exception:  # noqa: BLE001 - whatever it is, it is no letter
        return None
    return letter if isinstance(letter, DeadLetter) else None
