"""Another client reads everything: confluent-kafka with its own registry client."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from benchmarks import orders
from benchmarks.bench import Setting


def verify(at: Setting) -> int:
    """Decode every record, and compare what they add up to with the table. How many there were."""
    topic = at.topic
    registry = SchemaRegistryClient({"url": at.registry.url})
    key_of, value_of = AvroDeserializer(registry), AvroDeserializer(registry)
    consumer = Consumer(
        {
            "bootstrap.servers": at.kafka.bootstrap,
            "group.id": "decoded",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    partitions = list(consumer.list_topics(topic).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    rows: dict[int, dict[str, Any]] = {}
    open_, count = set(partitions), 0
    while open_:
        for message in consumer.consume(10_000, 5):
            if message.error():
                open_.discard(message.partition())
                continue
            count += 1
            names = {pair[0] for pair in message.headers() or ()}
            assert {"ce_id", "ce_type", "ce_source", "ce_specversion", "content-type"} <= names
            key = key_of(message.key(), SerializationContext(topic, MessageField.KEY))
            if message.value() is None:
                assert key["id"] not in rows
                continue
            value = value_of(message.value(), SerializationContext(topic, MessageField.VALUE))
            if value["op"] == "delete":
                rows.pop(key["id"], None)
            else:
                rows[key["id"]] = value["after"]
    consumer.close()
    table = orders.rows(at.url)
    assert {number: tuple(row.values()) for number, row in rows.items()} == table
    return count
