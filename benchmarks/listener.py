"""`python -m benchmarks.listener SERVERS TOPIC RECORDS`: when each record reached a consumer.

confluent-kafka with read_committed, in a process of its own. Says `ready`, then one JSON object:
the seconds of the monotonic clock, which all processes share, by the number that the key holds.
"""

from __future__ import annotations

import json
import sys
import time
from io import BytesIO

import fastavro
from confluent_kafka import Consumer, TopicPartition

#: In front of a key's Avro bytes stand a zero and the schema's id.
FRAME = 5


def number(key: bytes) -> int:
    """The key of a record whose only field is a long."""
    key_number = fastavro.schemaless_reader(BytesIO(key[FRAME:]), "long", None)
    assert isinstance(key_number, int)
    return key_number


def listen(servers: str, topic: str, records: int) -> dict[int, float]:
    """Read so many records from now on."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"listener-{topic}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 500,
        }
    )
    places = []
    for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        places.append(TopicPartition(topic, partition, end))
    consumer.assign(places)
    consumer.poll(1)
    print("ready", flush=True)
    seen: dict[int, float] = {}
    while len(seen) < records:
        message = consumer.poll(60)
        at = time.monotonic()
        assert message is not None, f"{len(seen)} of {records} records came"
        assert message.error() is None, message.error()
        key = message.key()
        assert isinstance(key, bytes)
        seen[number(key)] = at
    consumer.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(listen(sys.argv[1], sys.argv[2], int(sys.argv[3]))), flush=True)
