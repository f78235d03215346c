"""Which keys are parked, as the dead letters tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.agent.parked import ParkedKeys
from bridge.log.port import Entry, TopicPartition, TopicSpec
from bridge.model.fixed import RELEASED, DeadLetter
from tests.agent.world import World, world

TOPIC = "acme.erp.sales_order"
ORDER = "erp.sales_order"
PLACE = TopicPartition(TOPIC, 0)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


class Clock:
    """One that always shows that it is time to look again."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


async def opened(here: World) -> ParkedKeys:
    await here.log.create_topics([TopicSpec(here.codec.topic("dead"))])
    parked = ParkedKeys(here.log, here.codec, "careful", {TOPIC: ORDER}, Clock())
    await parked.open()
    return parked


async def park(here: World, key: bytes, error: str = "ValueError") -> None:
    letter = DeadLetter(
        kind="event", source="careful", reason="no", at=datetime.now(UTC), topic=TOPIC,
        error=error, key=key,
    )  # fmt: skip
    entry = here.codec.entry("dead", "careful", letter)
    await here.log.append(here.codec.topic("dead"), [entry])


async def test_a_key_is_parked_from_its_failure_until_it_is_released(here: World) -> None:
    parked = await opened(here)
    assert not await parked.holds(ORDER, b"k")
    parked.add(ORDER, b"k", PLACE)
    assert await parked.holds(ORDER, b"k")
    await park(here, b"k")
    assert await parked.holds(ORDER, b"k")
    await park(here, b"k", RELEASED)
    assert not await parked.holds(ORDER, b"k")
    await parked.close()


async def test_a_letter_that_was_not_written_before_its_partition_went_parks_nothing(
    here: World,
) -> None:
    """The event comes again, and is tried again."""
    parked = await opened(here)
    for key in (b"written", b"lost", b"elsewhere"):
        parked.add(ORDER, key, PLACE if key != b"elsewhere" else TopicPartition(TOPIC, 1))
    await park(here, b"written")
    parked.forget(frozenset({PLACE}))
    assert await parked.holds(ORDER, b"written")
    assert not await parked.holds(ORDER, b"lost")
    assert await parked.holds(ORDER, b"elsewhere")
    await parked.close()


async def test_a_record_that_is_no_dead_letter_keeps_no_agent_from_its_work(here: World) -> None:
    await here.log.create_topics([TopicSpec(here.codec.topic("dead"))])
    await here.log.append(here.codec.topic("dead"), [Entry(b"k", b"rubbish"), Entry(b"k", b"")])
    await park(here, b"k")
    parked = await opened(here)
    assert await parked.holds(ORDER, b"k")
    await parked.close()
