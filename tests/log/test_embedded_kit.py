from pathlib import Path

import pytest

from bridge.kit.log import LogSuite, LogUnderTest
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Log


async def compact(log: Log, topic: str) -> None:
    assert isinstance(log, EmbeddedLog)
    await log.compact(topic)


class TestEmbedded(LogSuite):
    @pytest.fixture
    def under_test(self, tmp_path: Path) -> LogUnderTest:
        return LogUnderTest(
            build="bridge.log.embedded:from_url",
            url=f"sqlite:///{tmp_path}/log.db",
            compact=compact,
            idle_cpu=0.02,
        )
