"""Two logs with their registries, and what is copied from the one into the other."""

import io
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import fastavro

from bridge.log.copy import Copied, copy_log
from bridge.log.port import Entry, Log, Record, TopicPartition, TopicSpec, Transaction
from bridge.log.read_to_end import read_to_end
from bridge.log.registry_port import Registry
from bridge.model import framing
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.types import Entity, Field, parse_type

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
HISTORY = 30 * 86_400_000
ORDER = Entity(
    "erp",
    "sales_order",
    ("order_no",),
    (Field("order_no", parse_type("string")), Field("total", parse_type("decimal(15,2)"))),
)


LATER = replace(ORDER, fields=(*ORDER.fields, Field("note", parse_type("string"))))


@dataclass
class Side:
    """A log and its registry, opened."""

    log: Log
    registry: Registry
    bridge: str

    @property
    def orders(self) -> str:
        return f"{self.bridge}.erp.sales_order"

    async def records(self, topic: str) -> list[Record]:
        """All records of a topic, each partition in its order."""
        info = (await self.log.topics())[topic]
        places = [TopicPartition(topic, number) for number in range(info.partitions)]
        return await self.between(
            dict(await self.log.beginning_offsets(places)), dict(await self.log.end_offsets(places))
        )

    async def between(
        self, start: dict[TopicPartition, int], ends: dict[TopicPartition, int]
    ) -> list[Record]:
        batches = read_to_end(self.log, start, ends)
        return [record async for records in batches for record in records]

    async def unhandled(self, group: str, topic: str) -> list[Record]:
        """What a group has still to read."""
        info = (await self.log.topics())[topic]
        places = [TopicPartition(topic, number) for number in range(info.partitions)]
        committed = await self.log.committed(group, places)
        begins = await self.log.beginning_offsets(places)
        start = {
            partition: begins[partition] if at is None else at
            for partition, at in committed.items()
        }
        return await self.between(start, dict(await self.log.end_offsets(places)))

    async def decoded(self, data: bytes | None) -> Any:
        """A framed key or value as another program reads it: by the id in it."""
        if data is None:
            return None
        schema = fastavro.parse_schema(
            json.loads(await self.registry.schema(framing.schema_id(data)))
        )
        return fastavro.schemaless_reader(io.BytesIO(data[5:]), schema, None)

    async def as_row(self, record: Record) -> tuple[Any, ...]:
        """A record without what may differ from log to log."""
        return (
            await self.decoded(record.key),
            await self.decoded(record.value),
            [*map(tuple, record.headers)],
            record.timestamp,
        )


async def opened(log: Log, registry: Registry, bridge: str) -> Side:
    await log.open()
    await registry.open()
    return Side(log, registry, bridge)


class Orders:
    """Writes changes of orders as capture does."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._frames: dict[str, bytes] = {}
        self._number = 0
        # Not older than the history: those are compacted.
        self._began = int(time.time() * 1000) - 3_600_000

    async def open(self) -> None:
        await self._side.log.create_topics(
            [
                TopicSpec(self._side.orders, "compact", 4, HISTORY),
                TopicSpec(f"_{self._side.bridge}.positions", "compact", 1),
                TopicSpec(f"{self._side.bridge}.commands", "delete", 2),
            ]
        )

    async def write(self, count: int, keys: int = 20, entity: Entity = ORDER) -> None:
        """Numbered updates over some keys, and a checkpoint, in one transaction each hundred."""
        registry, topic = self._side.registry, self._side.orders
        key_text, text = schema_text(key_schema(ORDER)), schema_text(change_schema(entity))
        key_frame = framing.header(await registry.register(f"{topic}-key", key_text))
        frame = framing.header(await registry.register(f"{topic}-value", text))
        key_avro, avro = (fastavro.parse_schema(json.loads(each)) for each in (key_text, text))
        producer = await self._side.log.producer("capture")
        for start in range(0, count, 100):
            entries = []
            for _ in range(start, min(start + 100, count)):
                entries.append(self._entry(key_frame, key_avro, frame, avro, keys))
                self._number += 1
            async with producer.transaction() as transaction:
                await transaction.append(topic, entries)
                await self._checkpoint(transaction)
        await producer.close()

    def _entry(self, key_frame: bytes, key_avro: Any, frame: bytes, avro: Any, keys: int) -> Entry:
        number = self._number
        order_no = f"{number % keys:04}"
        position = f"0000-{number:016X}-0000000000"
        change: dict[str, Any] = {
            "op": "update",
            "before": None,
            "after": {"order_no": order_no, "total": None},
            "unavailable": [],
            "position": position,
            "transaction": None,
            "occurred_at": AT,
            "captured_at": AT,
        }
        value = None if number % 17 == 16 else frame + _avro(avro, change)
        headers = [("ce_id", f"erp:{position}".encode()), ("content-type", b"application/avro")]
        return Entry(
            key_frame + _avro(key_avro, {"order_no": order_no}),
            value,
            headers,
            self._began + number,
        )

    async def _checkpoint(self, transaction: Transaction) -> None:
        value = json.dumps({"number": self._number}).encode()
        await transaction.append(f"_{self._side.bridge}.positions", [Entry(b"erp", value)])


def _avro(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


async def move(source: Side, target: Side, **more: Any) -> Copied:
    return await copy_log(
        source.log, source.registry, target.log, target.registry, source.bridge, **more
    )


async def histories(side: Side) -> dict[str, list[tuple[Any, ...]]]:
    """The records of each order, in order."""
    by_key: dict[str, list[tuple[Any, ...]]] = {}
    for record in await side.records(side.orders):
        record_row = await side.as_row(record)
        by_key.setdefault(record_row[0]["order_no"], []).append(record_row)
    return by_key


async def commit(
    side: Side, group: str, share: float, *, but: frozenset[int] = frozenset()
) -> None:
    """Let a group have handled this share of each partition of the orders."""
    records = await side.records(side.orders)
    offsets = {}
    for number in {0, 1, 2, 3} - but:
        mine = [record.offset for record in records if record.partition == number]
        offsets[TopicPartition(side.orders, number)] = mine[int(len(mine) * share) - 1] + 1
    await side.log.reset_offsets(group, offsets)


def ids(records: list[Record]) -> list[str]:
    return sorted(dict(record.headers)["ce_id"].decode() for record in records)
