"""Another client with its own registry client reads every kind of topic of a bridge."""

import datetime as dt
import io
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fastavro
import pytest
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from bridge.log.kafka import KafkaLog, from_url
from bridge.log.port import Entry, TopicSpec
from bridge.log.registry.http import HttpRegistry
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.model import framing, headers, system_records
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.system_records import TOPIC_KINDS, SystemKey, SystemRecord, Target, TopicKind
from bridge.model.types import Entity, Field, parse_type
from tests.model.test_system_records import SAMPLES

if TYPE_CHECKING:
    from tests.services.kafka import Kafka
    from tests.services.registry import RegistryServer as Server

AT = dt.datetime(2026, 1, 31, 10, 0, 0, 123456, dt.UTC)
ORDER = Entity(
    "erp",
    "sales_order",
    ("order_no", "line"),
    (
        Field("order_no", parse_type("string")),
        Field("line", parse_type("integer")),
        Field("total", parse_type("decimal(15,2)")),
        Field("at", parse_type("timestamp")),
        Field("local", parse_type("local_timestamp")),
        Field("day", parse_type("date")),
        Field("raw", parse_type("bytes")),
        Field("tags", parse_type("array(string)")),
    ),
)


@pytest.fixture
def bridge() -> str:
    return f"acme{secrets.token_hex(3)}"


@pytest.fixture
async def log(kafka: "Kafka") -> AsyncIterator[KafkaLog]:
    log = from_url(f"kafka://{kafka.bootstrap}")
    await log.open()
    yield log
    await log.close()


@pytest.fixture
async def schemas(registry: "Server") -> AsyncIterator[Registry]:
    client = HttpRegistry(registry.url)
    await client.open()
    yield client
    await client.close()


class ConfluentReader:
    """confluent-kafka and its Avro deserialiser, as another program uses them."""

    def __init__(self, bootstrap: str, url: str) -> None:
        self._client = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"other{secrets.token_hex(4)}",
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
            }
        )
        self._registry = SchemaRegistryClient({"url": url})
        self._avro = AvroDeserializer(self._registry)

    def read(self, topic: str, count: int) -> list[tuple[Any, Any, Any]]:
        """Key, value and headers of the first records."""
        self._client.subscribe([topic])
        messages: list[tuple[Any, Any, Any]] = []
        while len(messages) < count:
            message = self._client.poll(20)
            assert message is not None, f"{topic}: only {len(messages)} of {count} came"
            assert message.error() is None
            messages.append(
                (
                    self._decoded(topic, message.key(), MessageField.KEY),
                    self._decoded(topic, message.value(), MessageField.VALUE),
                    dict(message.headers() or []),
                )
            )
        return messages

    def _decoded(self, topic: str, data: bytes | None, field: Any) -> Any:
        return None if data is None else self._avro(data, SerializationContext(topic, field))

    def close(self) -> None:
        self._client.close()
        self._registry.close()


@pytest.fixture
def reader(kafka: "Kafka", registry: "Server") -> Iterator[ConfluentReader]:
    reading = ConfluentReader(kafka.bootstrap, registry.url)
    yield reading
    reading.close()


async def test_changes_with_every_type_and_their_tombstones(
    log: KafkaLog, schemas: Registry, reader: ConfluentReader, bridge: str
) -> None:
    topic = f"{bridge}.erp.sales_order"
    key_text, text = schema_text(key_schema(ORDER)), schema_text(change_schema(ORDER))
    key_frame = framing.header(await schemas.register(f"{topic}-key", key_text))
    frame = framing.header(await schemas.register(f"{topic}-value", text))
    row = {
        "order_no": "17",
        "line": 10,
        "total": Decimal("1234567890123.45"),
        "at": AT,
        "local": AT.replace(tzinfo=None),
        "day": AT.date(),
        "raw": b"\0\xff",
        "tags": ["a", None],
    }
    change = {
        "op": "update",
        "before": None,
        "after": row,
        "unavailable": ["raw"],
        "position": "p",
        "transaction": "4711",
        "occurred_at": AT,
        "captured_at": AT,
    }
    key = key_frame + encoded(key_schema(ORDER), {"order_no": "17", "line": 10})
    value = frame + encoded(change_schema(ORDER), change)
    sent = [(headers.ID, b"erp:p"), (headers.CONTENT_TYPE, headers.AVRO)]
    await log.create_topics([TopicSpec(topic, "compact", 1)])
    producer = await log.producer(f"{bridge}.capture")
    async with producer.transaction() as transaction:
        await transaction.append(topic, [Entry(key, value, sent), Entry(key, None)])
    await producer.close()

    change_seen, tombstone = reader.read(topic, 2)

    assert change_seen == ({"order_no": "17", "line": 10}, change, dict(sent))
    assert tombstone == ({"order_no": "17", "line": 10}, None, {})


def encoded(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@pytest.mark.parametrize("topic_kind", TOPIC_KINDS)
async def test_fixed_topics(
    log: KafkaLog, schemas: Registry, reader: ConfluentReader, bridge: str, topic_kind: TopicKind
) -> None:
    codec = SystemTopicCodec(schemas, bridge)
    await codec.open()
    key: SystemKey = (
        system_records.target("erp", "sales_order", {"order_no": "1"})
        if topic_kind in {"command", "receipt"}
        else "credit-watch:abc"
    )
    await log.create_topics([TopicSpec(codec.topic(topic_kind), partitions=1)])
    entry = codec.entry(topic_kind, key, SAMPLES[topic_kind], [(headers.TRACEPARENT, b"00-1-2-01")])
    await log.append(codec.topic(topic_kind), [entry])

    [(seen_key, seen, seen_headers)] = reader.read(codec.topic(topic_kind), 1)

    assert seen_key == (key._asdict() if isinstance(key, Target) else key)
    assert seen == as_dict(SAMPLES[topic_kind])
    assert seen_headers[headers.SPECVERSION] == b"1.0"
    assert seen_headers[headers.ID].startswith(b"credit-watch")
    assert seen_headers[headers.TYPE] == f"{bridge}.{topic_kind}".encode()
    assert seen_headers[headers.CONTENT_TYPE] == b"application/avro"
    assert seen_headers[headers.TRACEPARENT] == b"00-1-2-01"
    assert await codec.decode(topic_kind, entry.value or b"") == SAMPLES[topic_kind]
    assert codec.decode_key(topic_kind, entry.key or b"") == key


def as_dict(record: SystemRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__dataclass_fields__}


async def test_records_of_an_older_version_are_decoded_by_the_schema_that_wrote_them(
    schemas: Registry, bridge: str
) -> None:
    """Replay reads what earlier versions wrote."""
    old = json.loads(system_records.schema_texts("receipt")[1])
    old["fields"] = [field for field in old["fields"] if field["name"] != "position"]
    old_id = await schemas.register(f"{bridge}.receipts-value", json.dumps(old))
    codec = SystemTopicCodec(schemas, bridge)
    await codec.open()
    row = {name: value for name, value in as_dict(SAMPLES["receipt"]).items() if name != "position"}

    read = await codec.decode("receipt", framing.header(old_id) + encoded(old, row))

    assert read == SAMPLES["receipt"]


async def test_what_is_no_fixed_record_is_told_as_such(schemas: Registry, bridge: str) -> None:
    codec = SystemTopicCodec(schemas, bridge)
    await codec.open()
    with pytest.raises(ValueError, match="not in Confluent wire format"):
        await codec.decode("command", b"{}")
    with pytest.raises(ValueError, match="schema id 2000000000 is not in the registry"):
        await codec.decode("command", framing.header(2_000_000_000) + b"x")
