"""What the log holds, read without any code of the bridge: plain sqlite3, or confluent-kafka."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro

RawRecord = tuple[int, int, bytes | None, bytes | None, dict[str, bytes]]
"""Partition, offset, key, value, headers."""


@dataclass(frozen=True)
class LoggedChange:
    """A record of a change topic. `change` None: a tombstone."""

    partition: int
    offset: int
    key: dict[str, Any]
    change: dict[str, Any] | None
    headers: dict[str, bytes]


def decoded(records: list[RawRecord], schemas: dict[int, Any]) -> list[LoggedChange]:
    """Records by fastavro, in the order of their offsets."""
    changes = []
    for partition, offset, key, value, headers in sorted(records, key=lambda raw: raw[:2]):
        assert key is not None, "a change without a key"
        change = _avro(value, schemas) if value is not None else None
        changes.append(LoggedChange(partition, offset, _avro(key, schemas), change, headers))
    return changes


def _avro(data: bytes, schemas: dict[int, Any]) -> Any:
    magic, number = struct.unpack_from(">bI", data)
    assert magic == 0
    stream = io.BytesIO(data[5:])
    value = fastavro.schemaless_reader(stream, schemas[number], None)
    assert stream.read() == b""
    return value


def schemas_of(records: list[RawRecord]) -> dict[int, Any]:
    """The embedded registry's schemas: a text's id is the offset of its first record plus one."""
    ids: dict[str, int] = {}
    for _, offset, _, value, _ in sorted(records, key=lambda raw: raw[1]):
        ids.setdefault(json.loads(value or b"")["schema"], offset + 1)
    return {number: fastavro.parse_schema(json.loads(text)) for text, number in ids.items()}


# -- the embedded log ----------------------------------------------------------------------------


def embedded(path: Path, topic: str) -> list[RawRecord]:
    """Every record of a topic of an embedded log, from the file's tables and batches."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        records: list[RawRecord] = []
        for partition, number in db.execute(
            "SELECT id, number FROM partition WHERE topic = ?", (topic,)
        ).fetchall():
            low, high = partition << 40, (partition + 1) << 40
            rows = db.execute(
                "SELECT id, data FROM batch WHERE id >= ? AND id < ? ORDER BY id", (low, high)
            )
            for batch, data in rows:
                records.extend((number, *record) for record in _batch(data, batch - low))
        return records
    finally:
        db.close()


def _batch(data: bytes, base: int) -> Iterator[tuple[int, Any, Any, dict[str, bytes]]]:
    cursor = _Cursor(data)
    version, flags, count = cursor.take("BBI")
    assert version == 1
    cursor.take(f"{1 if flags & 2 else count}q")
    offsets = cursor.take(f"{count}I") if flags & 1 else tuple(range(count))
    (size,) = cursor.take("I")
    shapes = json.loads(cursor.taken(size))
    chosen = cursor.take(f"{count}I") if len(shapes) > 1 else (0,) * count
    keys, values = cursor.column(count), cursor.column(count)
    columns = []
    for number, names in enumerate(shapes):
        many = chosen.count(number)
        columns.append([(name, iter(cursor.column(many))) for name in names])
    for at in range(count):
        headers = {name: next(column) or b"" for name, column in columns[chosen[at]]}
        yield base + offsets[at], keys[at], values[at], headers


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        shape = struct.Struct("<" + layout)
        self._at += shape.size
        return shape.unpack_from(self._data, self._at - shape.size)

    def taken(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def column(self, count: int) -> list[bytes | None]:
        (same,) = self.take("B")
        lengths = self.take(f"{1 if same else count}i")
        items = [None if length < 0 else self.taken(length) for length in lengths]
        return items * count if same else items


# -- Kafka ---------------------------------------------------------------------------------------


def kafka(servers: str, topic: str) -> list[RawRecord]:
    """Every committed record of a topic, by confluent-kafka."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "torture-oracle",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, 30).topics[topic].partitions
        left = set(partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        records: list[RawRecord] = []
        while left:
            message = consumer.poll(30)
            assert message is not None, f"{topic} could not be read to its end"
            error = message.error()
            if error is not None:
                assert error.name() == "_PARTITION_EOF", error
                left.discard(message.partition())
                continue
            raw: Any = message
            headers = {str(name): bytes(value) for name, value in raw.headers() or []}
            records.append((raw.partition(), raw.offset(), raw.key(), raw.value(), headers))
        return records
    finally:
        consumer.close()
