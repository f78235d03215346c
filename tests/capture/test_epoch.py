"""Which epoch positions of a source begin with is followed in the checkpoint records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.capture.checkpoint import store
from bridge.capture.checkpoint.codec import dump
from bridge.capture.checkpoint.epoch import Epoch
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    embedded_log = EmbeddedLog(tmp_path / "log.db")
    await embedded_log.open()
    yield embedded_log
    await embedded_log.close()


async def checkpoint(log: EmbeddedLog, source: str, epoch: int) -> None:
    topic = store.topic("acme")
    await log.create_topics([topic])
    await log.append(topic.name, [Entry(source.encode(), dump(CheckpointRecord(epoch=epoch)))])


async def test_the_epoch_is_the_one_of_the_newest_checkpoint_of_that_source(
    log: EmbeddedLog,
) -> None:
    epoch = Epoch(log, "acme", "erp")
    assert await epoch.now() is None
    await checkpoint(log, "crm", 7)
    assert await epoch.now() is None
    await checkpoint(log, "erp", 1)
    assert await epoch.now() == 1
    assert await epoch.now() == 1
    await checkpoint(log, "erp", 2)
    await checkpoint(log, "crm", 9)
    assert await epoch.now() == 2
    await epoch.close()
    await checkpoint(log, "erp", 3)
    assert await epoch.now() == 3
    assert await Epoch(log, "acme", "crm").now() == 9
    await epoch.close()
