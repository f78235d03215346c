"""Kafka under the suite that every log must pass."""

from typing import TYPE_CHECKING

import pytest

from bridge.kit.log import LogSuite, LogUnderTest

if TYPE_CHECKING:
    from tests.services.kafka import Kafka


class TestKafkaLog(LogSuite):
    @pytest.fixture
    def under_test(self, kafka: "Kafka") -> LogUnderTest:
        return LogUnderTest(build="bridge.log.kafka:from_url", url=f"kafka://{kafka.bootstrap}")
