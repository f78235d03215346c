"""Dead letters on their way to another log."""

from __future__ import annotations

import json
from dataclasses import replace

import fastavro

from bridge.log.copying.ids import SchemaIds
from bridge.log.port import Entry, Record
from bridge.model import fixed, wire
from bridge.model.fixed import DeadLetter


async def dead_letter(record: Record, ids: SchemaIds) -> Entry:
    """Dead letters hold the key and value of what was set aside, and where it stood."""
    key = await ids.frame(record.key, record.topic, "key")
    if record.value is None:
        return Entry(key, None)
    writer = fastavro.parse_schema(json.loads(await ids.text(record.value)))
    letter = fixed.decode("dead", record.value[wire.HEADER_SIZE :], writer)
    assert isinstance(letter, DeadLetter), "the dead-letter topic holds dead letters"  # noqa: S101
    about = letter.topic or record.topic
    moved = replace(
        letter,
        key=await ids.frame(letter.key, about, "key"),
        value=await ids.frame(letter.value, about, "value"),
        # Offsets are other ones in the target: none is better than a wrong one.
        partition=None,
        offset=None,
    )
    [_, text] = fixed.schema_texts("dead")
    framed = await ids.current(record.topic, text)
    return Entry(key, framed + fixed.encode("dead", moved))
