"""The look at the log of a running process: it costs little, and nothing ends it in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.config import Config
from bridge.config.load import load
from bridge.log.port import Log
from bridge.model.errors import RetryLater
from bridge.model.names import SYSTEM_TOPICS, system_topic
from bridge.observe import Notice, PartState
from bridge.wiring.log_watch import LogWatch
from tests.waiting import until

SYSTEM = """
system: erp
connector: postgres
url: postgresql://reader@localhost/erp
entities:
  stock: {from: stock}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "systems").mkdir()
    (tmp_path / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///bridge.db\nsystems: systems/*.yaml\n"
    )
    (tmp_path / "systems" / "erp.yaml").write_text(SYSTEM)
    return load(tmp_path / "bridge.yaml")


class Topics:
    """A log of which nothing but its topics may be asked."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = set(names)
        self.error: Exception | None = None
        self.looks = 0

    async def topics(self) -> Mapping[str, Any]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return dict.fromkeys(self.names)


def all_topics() -> Topics:
    fixed = {system_topic("acme", name) for name in SYSTEM_TOPICS}
    return Topics({"_acme.positions", "_acme.status", "acme.erp.stock", *fixed})


async def test_where_all_topics_are_there_no_record_is_read(config: Config) -> None:
    """An hour of reports, read twice a minute by each process, is much work for nothing."""
    log = all_topics()
    watch = LogWatch(cast("Log", log), config, lambda _: None)
    assert await watch.look() == ""
    lost = system_topic("acme", min(SYSTEM_TOPICS))
    log.names.remove(lost)
    assert f"topic {lost} was deleted" in await watch.look()


async def test_a_look_that_fails_is_told_and_repeated(config: Config) -> None:
    log, notices, stop = all_topics(), list[Notice](), asyncio.Event()

    def states() -> list[tuple[str, str]]:
        return [(each.state, each.reason) for each in notices if isinstance(each, PartState)]

    log.error = KeyError("unforeseen")
    watch = LogWatch(cast("Log", log), config, notices.append)
    async with watch.watching(stop, every_s=0.01):
        await until(lambda: log.looks > 2)
        [(state, reason)] = states()
        assert state == "retrying"
        assert "KeyError" in reason
        # Kafka's parts that only read wait in its client, and say nothing.
        log.error = RetryLater("no broker answers")
        await until(lambda: states().count(("retrying", "the log is away: no broker answers")) > 2)
        log.error = None
        await until(lambda: states()[-1] == ("running", ""))
        stop.set()
