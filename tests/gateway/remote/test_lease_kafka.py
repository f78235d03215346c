"""The lease in a real Kafka: its fencing decides who owns a system."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from bridge.gateway.remote.lease_holder import LeaseHolder, LeaseTerms
from bridge.log.kafka import from_url
from bridge.log.port import Log
from bridge.model.errors import Fenced, RetryLater
from tests.waiting import until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka


@pytest.fixture
async def log(kafka: Kafka) -> AsyncIterator[Log]:
    log = from_url(f"kafka://{kafka.bootstrap}")
    await log.open()
    yield log
    await log.close()


class MovedClock:
    """Stands still until a test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_an_owner_that_was_succeeded_is_fenced_and_its_successor_kept(log: Log) -> None:
    bridge = f"b{uuid.uuid4().hex[:8]}"
    theirs = MovedClock()
    first = LeaseHolder(log, LeaseTerms(bridge, "erp", "first", "a", 10.0), clock=MovedClock())
    second = LeaseHolder(log, LeaseTerms(bridge, "erp", "second", "b", 10.0), clock=theirs)
    try:
        assert await first.acquire() == 1
        acquiring = asyncio.create_task(second.acquire())
        await until(lambda: second.owner is not None)
        theirs.now += 11.1
        assert await acquiring == 2
        with pytest.raises(Fenced):
            await first._write()
        second.check()
        await second._write()
    finally:
        await first.release()
        await second.release()
    third = LeaseHolder(log, LeaseTerms(bridge, "erp", "third", "c", 10.0), clock=MovedClock())
    try:
        # The one before it ended in order.
        assert await third.acquire() == 3
        with pytest.raises(RetryLater):
            first.check()
    finally:
        await third.release()
