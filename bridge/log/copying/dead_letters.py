"""Converts dead letters for another log."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from bridge.log.copying.schema_ids import SchemaIds
from bridge.log.port import Entry, Record
from bridge.model import framing, system_records
from bridge.model.avro_limits import parse_bounded
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.names import DEAD, change_topic, split_entity
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
    topic = topic_of_contents(letter, record.topic)
    moved = replace(
        letter,
        key=await _frame(letter.key, topic, "key", ids),
        value=await _frame(letter.value, topic, "value", ids),
        # Offsets differ in the target: none is better than a wrong one.
        partition=None,
        offset=None,
    )
    [_, text] = system_records.schema_texts("dead")
    framed = await ids.current(record.topic, text)
    return Entry(key, framed + system_records.encode("dead", moved))


def topic_of_contents(letter: DeadLetter, dead_topic: str) -> str:
    """The topic whose schemas a letter's key and value were written with. A row that became no record
    is in no topic; its key is one of its entity's change topic. Pure.
    """
    if letter.topic:
        return letter.topic
    with suppress(ConfigurationError):  # of another program
        return change_topic(dead_topic.removesuffix(f".{DEAD}"), *split_entity(letter.source))
    return dead_topic


async def _frame(data: bytes | None, topic: str, part: str, ids: SchemaIds) -> bytes | None:
    """As `SchemaIds.frame`; None for a record that was dead-lettered because its schema is missing,
    and where another program wrote a letter with a schema that isn't its topic's: in the target the
    id would belong to another schema.
    """
    try:
        return await ids.frame(data, topic, part)
    except ConfigurationError:
        return None
    except Rejected as error:
        if error.code != "incompatible_schema":
            raise
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
