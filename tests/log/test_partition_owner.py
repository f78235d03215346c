"""Who is cancelled while it takes partitions leaves no producer open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.log.partition_owner import ObservedGroup, PartitionOwner
from bridge.log.port import TopicPartition
from bridge.observe import ignore


class OpenedProducer:
    """Counts in its log."""

    def __init__(self, log: SlowProducers) -> None:
        self._log = log
        log.open += 1

    async def close(self) -> None:
        self._log.open -= 1


class SlowProducers:
    """A log whose second producer never opens."""

    def __init__(self) -> None:
        self.open = 0
        self.waits = asyncio.Event()

    async def producer(self, transactional_id: str) -> OpenedProducer:
        if transactional_id.endswith(".1"):
            self.waits.set()
            await asyncio.Event().wait()
        return OpenedProducer(self)


class LeftMember:
    async def close(self) -> None:
        return None


async def test_producers_that_were_opened_before_it_was_cancelled_are_closed() -> None:
    log: Any = SlowProducers()
    owner = PartitionOwner(log, "acme", "group", None, ObservedGroup(ignore))
    member: Any = LeftMember()
    owner._member = member
    partitions = frozenset({TopicPartition("t", 0), TopicPartition("t", 1)})
    taking = asyncio.create_task(owner.assigned(partitions))
    await log.waits.wait()
    await asyncio.sleep(0)
    assert log.open == 1
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await owner.close()
    assert log.open == 0
