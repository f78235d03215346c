"""Kafka under the suite that every log must pass."""

from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from bridge.kit.log import LogSuite, LogUnderTest
from bridge.log.port import Log

if TYPE_CHECKING:
    from tests.services.kafka import Kafka


async def compact_at_once(log: Log, topic: str) -> None:
    """A broker closes segments by the hour, and compacts only closed ones."""
    servers = log.name.removeprefix("kafka://")
    wanted = {"segment.ms": "1", "min.cleanable.dirty.ratio": "0.001", "file.delete.delay.ms": "1"}
    resource = ConfigResource(
        ConfigResource.Type.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in wanted.items()
        ],
    )
    client = AdminClient({"bootstrap.servers": servers})
    client.incremental_alter_configs([resource])[resource].result(60)


class TestKafkaLog(LogSuite):
    @pytest.fixture
    def under_test(self, kafka: "Kafka") -> LogUnderTest:
        return LogUnderTest(
            build="bridge.log.kafka:from_url",
            url=f"kafka://{kafka.bootstrap}",
            compact=compact_at_once,
        )
