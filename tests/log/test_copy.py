"""Moving a log: embedded to embedded, and embedded to Kafka with another registry."""

import io
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pytest

from bridge.log.copy import Copied, Copying, copy_log
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import from_url
from bridge.log.port import Entry, Log, Record, TopicPartition, TopicSpec, Transaction
from bridge.log.read_to_end import read_to_end
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.log.registry.http import HttpRegistry
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.model import framing
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.system_records import DeadLetter
from bridge.model.types import Entity, Field, parse_type
from bridge.plan.murmur2 import partition

if TYPE_CHECKING:
    from tests.services.kafka import Kafka
    from tests.services.registry import RegistryServer as Server

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


@pytest.fixture
def bridge() -> str:
    return f"acme{secrets.token_hex(3)}"


@pytest.fixture
async def source(tmp_path: Path, bridge: str) -> AsyncIterator[Side]:
    log = EmbeddedLog(tmp_path / "source.db", compact_every=None)
    side = await opened(log, EmbeddedRegistry(log, bridge), bridge)
    yield side
    await side.registry.close()
    await side.log.close()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.registry)])
async def target(
    request: pytest.FixtureRequest, tmp_path: Path, bridge: str
) -> AsyncIterator[Side]:
    log: Log
    registry: Registry
    if request.param == "embedded":
        log = EmbeddedLog(tmp_path / "target.db", compact_every=None)
        registry = EmbeddedRegistry(log, bridge)
    else:
        broker: Kafka = request.getfixturevalue("kafka")
        server: Server = request.getfixturevalue("registry")
        log = from_url(f"kafka://{broker.bootstrap}")
        registry = HttpRegistry(server.url)
    side = await opened(log, registry, bridge)
    # Ids differ from the source's, as in a registry that others use, too.
    for number in range(3):
        other = f'{{"type":"fixed","name":"F{secrets.token_hex(4)}","size":{number + 1}}}'
        await registry.register(f"other{secrets.token_hex(4)}-value", other)
    yield side
    await side.registry.close()
    await side.log.close()


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


@pytest.fixture
async def orders(source: Side) -> Orders:
    writing = Orders(source)
    await writing.open()
    return writing


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


async def test_every_key_has_the_same_history_with_new_schema_ids(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(900)
    await orders.write(300, entity=LATER)

    done = await move(source, target)

    assert (done.records, done.left) == (1200 + 12, 0)
    assert await histories(target) == await histories(source)
    old = {record.key[:5] for record in await source.records(source.orders) if record.key}
    new = {record.key[:5] for record in await target.records(target.orders) if record.key}
    assert old.isdisjoint(new)
    for record in await target.records(target.orders):
        assert record.partition == partition(record.key, 4)


async def test_topics_keep_what_they_are(source: Side, target: Side, orders: Orders) -> None:
    await orders.write(10)

    await move(source, target)

    old, new = await source.log.topics(), await target.log.topics()
    for name in (source.orders, f"{source.bridge}.commands", f"_{source.bridge}.positions"):
        assert new[name].partitions == old[name].partitions
        assert new[name].spec.cleanup == old[name].spec.cleanup
        assert new[name].spec.history_ms == old[name].spec.history_ms


async def test_checkpoints_arrive_as_they_are(source: Side, target: Side, orders: Orders) -> None:
    await orders.write(250)

    await move(source, target)

    positions = f"_{source.bridge}.positions"
    old, new = await source.records(positions), await target.records(positions)
    assert [(r.key, r.value, r.timestamp) for r in new] == [
        (r.key, r.value, r.timestamp) for r in old
    ]
    assert json.loads(new[-1].value or b"")["number"] == 250


async def test_groups_go_on_exactly_where_they_were(
    source: Side, target: Side, orders: Orders
) -> None:
    """Although new ids give every key another partition."""
    await orders.write(1000)
    groups = {"none": 0.0, "some": 0.3, "most": 0.9, "all": 1.0}
    for group, share in groups.items():
        if share:
            await commit(source, f"{source.bridge}.{group}", share)

    await move(source, target)

    for group, share in groups.items():
        if share:
            name = f"{source.bridge}.{group}"
            before = await source.unhandled(name, source.orders)
            after = await target.unhandled(name, target.orders)
            assert ids(after) == ids(before), group


async def test_groups_that_overtake_each_other_lose_nothing(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(1000)
    await commit(source, "left", 0.5, but=frozenset({2, 3}))
    await commit(source, "right", 0.5, but=frozenset({0, 1}))

    await move(source, target)

    for group in ("left", "right"):
        before = set(ids(await source.unhandled(group, source.orders)))
        after = set(ids(await target.unhandled(group, target.orders)))
        assert before <= after


class Interrupted(Exception):
    """What ends a run in the middle."""


async def test_a_run_that_was_interrupted_goes_on_without_gap_or_repeat(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(3000)
    await commit(source, "half", 0.5)

    def after(calls: int) -> Callable[[Copying], None]:
        left = iter(range(calls))

        def end_early(_: Copying) -> None:
            if next(left) == calls - 1:
                raise Interrupted

        return end_early

    for calls in (1, 4, 3):
        with pytest.raises(Interrupted):
            await move(source, target, progress=after(calls))
    last = await move(source, target)

    assert 0 < last.records < 3030
    assert await histories(target) == await histories(source)
    before = await source.unhandled("half", source.orders)
    assert ids(await target.unhandled("half", target.orders)) == ids(before)


async def test_a_second_run_carries_only_what_came_since(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(500)
    await commit(source, "agent", 1.0)
    await move(source, target)
    assert (await move(source, target)).records == 0

    await commit(source, "agent", 1.0)
    await orders.write(200, entity=LATER)
    again = await move(source, target)

    assert again.records == 202
    assert await histories(target) == await histories(source)
    before = await source.unhandled("agent", source.orders)
    assert ids(await target.unhandled("agent", target.orders)) == ids(before)
    assert len(before) == 200


async def test_a_group_that_went_on_between_two_runs_loses_nothing(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(500)
    await commit(source, "agent", 0.2)
    await move(source, target)
    await commit(source, "agent", 0.6)
    await orders.write(100)

    await move(source, target)

    before = set(ids(await source.unhandled("agent", source.orders)))
    assert before <= set(ids(await target.unhandled("agent", target.orders)))


async def test_a_target_that_holds_something_else_is_refused(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(100)
    await target.log.create_topics([TopicSpec(target.orders, "compact", 4, HISTORY)])
    await target.log.append(target.orders, [Entry(b"k", b"foreign")])

    with pytest.raises(ConfigurationError, match=r"not copied from sqlite.*source\.db"):
        await move(source, target)

    assert len(await target.records(target.orders)) == 1


async def test_a_target_that_was_written_to_since_is_refused(
    source: Side, target: Side, orders: Orders
) -> None:
    """The bridge runs on the new log: what the old one holds is history now."""
    await orders.write(100)
    await move(source, target)
    await target.log.append(target.orders, [Entry(b"k", b"by the bridge")])
    await orders.write(100)

    with pytest.raises(ConfigurationError, match="copy into an empty log"):
        await move(source, target)

    assert len(await target.records(target.orders)) == 101


async def test_a_running_bridge_is_refused(source: Side, target: Side, orders: Orders) -> None:
    await orders.write(100)
    await commit(source, "agent", 0.5)
    member = await source.log.join("agent", [source.orders])
    while not member.assignment():
        await member.read(10, 0.2)

    with pytest.raises(Rejected, match="group agent still has live members: stop the bridge"):
        await move(source, target)
    await member.close()


async def test_another_source_into_the_same_target_is_refused(
    source: Side, target: Side, orders: Orders, tmp_path: Path
) -> None:
    await orders.write(10)
    await move(source, target)
    log = EmbeddedLog(tmp_path / "other.db", compact_every=None)
    other = await opened(log, EmbeddedRegistry(log, source.bridge), source.bridge)

    with pytest.raises(ConfigurationError, match=r"was copied from sqlite.*source\.db"):
        await move(other, target)

    await other.registry.close()
    await log.close()


async def test_dead_letters_keep_what_was_set_aside_in_a_readable_form(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(20)
    event = (await source.records(source.orders))[0]
    codec = SystemTopicCodec(source.registry, source.bridge)
    await codec.open()
    await source.log.create_topics([TopicSpec(codec.topic("dead"), "delete", 1)])
    letter = DeadLetter(
        "event",
        "credit-watch",
        "boom",
        AT,
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        key=event.key,
        value=event.value,
    )
    await source.log.append(codec.topic("dead"), [codec.entry("dead", "credit-watch", letter)])

    await move(source, target)

    theirs = SystemTopicCodec(target.registry, target.bridge)
    await theirs.open()
    [record] = await target.records(theirs.topic("dead"))
    moved = await theirs.decode("dead", record.value or b"")
    assert isinstance(moved, DeadLetter)
    assert (moved.reason, moved.partition, moved.offset) == ("boom", None, None)
    assert await target.decoded(moved.key) == await source.decoded(event.key)
    assert await target.decoded(moved.value) == await source.decoded(event.value)
    assert theirs.decode_key("dead", record.key or b"") == "credit-watch"


async def test_what_is_no_letter_or_holds_what_nobody_can_read_keeps_no_copy_from_its_end(
    source: Side, target: Side
) -> None:
    codec = SystemTopicCodec(source.registry, source.bridge)
    await codec.open()
    topic = codec.topic("dead")
    await source.log.create_topics([TopicSpec(topic, "delete", 1)])
    foreign = await source.registry.register("x-value", '"string"')
    letter = DeadLetter(
        "event", "watch", "no schema", AT, "t", 0, 1, key=b"k", value=b"\0\xff\0\0\0x"
    )
    junk = [
        Entry(b"k", b"junk"),
        Entry(b"k", b"\0" + foreign.to_bytes(4, "big") + b"\x02a"),
        codec.entry("dead", "watch", letter),
    ]
    await source.log.append(topic, junk)

    await move(source, target)

    theirs = SystemTopicCodec(target.registry, target.bridge)
    await theirs.open()
    first, second, third = await target.records(theirs.topic("dead"))
    assert first.value == b"junk"
    assert await target.decoded(second.value) == "a"
    moved = await theirs.decode("dead", third.value or b"")
    assert isinstance(moved, DeadLetter)
    assert (moved.reason, moved.key, moved.value) == ("no schema", b"k", None)


async def test_a_topic_can_be_translated_or_left_out(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(10)
    positions, commands = f"_{source.bridge}.positions", f"{source.bridge}.commands"

    async def upper(record: Record, _: object) -> Entry:
        return Entry((record.key or b"").upper(), record.value)

    await move(source, target, translate={positions: upper}, leave_out=[commands])

    assert {record.key for record in await target.records(positions)} == {b"ERP"}
    assert commands not in await target.log.topics()
