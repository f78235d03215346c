"""Topics whose records the broker compresses, as `compression.type` of the topic says."""

import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from aiokafka import codec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bridge.log.kafka import from_url
from bridge.log.port import Entry, Log, Record, TopicPartition
from bridge.model.errors import ConfigurationError
from bridge.wiring.status.group_rows import group_rows

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

CODECS = ("gzip", "snappy", "lz4", "zstd")


@pytest.fixture
async def log(kafka: "Kafka") -> AsyncIterator[Log]:
    log = from_url(f"kafka://{kafka.bootstrap}")
    await log.open()
    yield log
    await log.close()


async def compressed(kafka: "Kafka", log: Log, codec_name: str) -> TopicPartition:
    """A topic of three records, compressed."""
    topic = f"c{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(topic, 1, 1, topic_configs={"compression.type": codec_name})]
        )
    finally:
        await admin.close()
    await log.append(topic, [Entry(b"k", b"%d" % number * 1000) for number in range(3)])
    return TopicPartition(topic, 0)


@pytest.mark.parametrize("codec_name", CODECS)
async def test_compressed_records_are_read(kafka: "Kafka", log: Log, codec_name: str) -> None:
    partition = await compressed(kafka, log, codec_name)
    reader = await log.reader({partition: 0})
    records: list[Record] = []
    while len(records) < 3:
        records += await reader.read(10, 1.0)
    assert [record.value for record in records] == [b"%d" % number * 1000 for number in range(3)]
    await reader.close()


async def test_a_codec_that_is_missing_is_named_and_the_group_lags_from_the_beginning(
    kafka: "Kafka", log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was waited for without a word, with a lag of 0."""
    partition = await compressed(kafka, log, "zstd")
    monkeypatch.setattr(codec, "cramjam", None)
    group = f"g{secrets.token_hex(4)}"
    member = await log.join(group, [partition.topic])

    async def read_on() -> None:
        while True:
            await member.read(10, 1.0)

    with pytest.raises(ConfigurationError, match=r"pip install 'legacy-bridge\[kafka\]'"):
        await read_on()
    info = (await log.groups())[group]
    assert info.topics == {partition.topic}
    monkeypatch.undo()
    [row] = await group_rows(log, {group: info})
    await member.close()
    assert (row["committed"], row["lag"], row["missing"]) == (None, 3, 0)
