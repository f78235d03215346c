"""Which keys are parked, as the dead letters tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.agent.parked_keys import ParkedKeys
from bridge.log.port import Entry, Record, TopicPartition, TopicSpec
from bridge.model.errors import RetryLater
from bridge.model.system_records import RELEASED, DeadLetter
from tests.agent.sqlite_erp import ErpHarness

TOPIC = "acme.erp.sales_order"
ORDER = "erp.sales_order"
PARTITION = TopicPartition(TOPIC, 0)


class SteppingClock:
    """One that always shows that it is time to look again."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


async def opened(here: ErpHarness) -> ParkedKeys:
    await here.log.create_topics([TopicSpec(here.codec.topic("dead"))])
    parked = ParkedKeys(here.log, here.codec, "careful", {TOPIC: ORDER}, SteppingClock())
    await parked.open()
    return parked


async def park(here: ErpHarness, key: bytes, error: str = "ValueError") -> None:
    letter = DeadLetter(
        kind="event", source="careful", reason="no", at=datetime.now(UTC), topic=TOPIC,
        error=error, key=key,
    )  # fmt: skip
    entry = here.codec.entry("dead", "careful", letter)
    await here.log.append(here.codec.topic("dead"), [entry])


async def test_a_key_is_parked_from_its_failure_until_it_is_released(here: ErpHarness) -> None:
    parked = await opened(here)
    assert not await parked.holds(ORDER, b"k")
    parked.add(ORDER, b"k", PARTITION)
    assert await parked.holds(ORDER, b"k")
    await park(here, b"k")
    assert await parked.holds(ORDER, b"k")
    await park(here, b"k", RELEASED)
    assert not await parked.holds(ORDER, b"k")
    await parked.close()


async def test_a_letter_that_was_not_written_before_its_partition_went_parks_nothing(
    here: ErpHarness,
) -> None:
    """The event comes again, and is tried again."""
    parked = await opened(here)
    for key in (b"written", b"lost", b"elsewhere"):
        parked.add(ORDER, key, PARTITION if key != b"elsewhere" else TopicPartition(TOPIC, 1))
    await park(here, b"written")
    parked.forget(frozenset({PARTITION}))
    assert await parked.holds(ORDER, b"written")
    assert not await parked.holds(ORDER, b"lost")
    assert await parked.holds(ORDER, b"elsewhere")
    await parked.close()


async def test_a_record_that_is_no_dead_letter_keeps_no_agent_from_its_work(
    here: ErpHarness,
) -> None:
    await here.log.create_topics([TopicSpec(here.codec.topic("dead"))])
    await here.log.append(here.codec.topic("dead"), [Entry(b"k", b"rubbish"), Entry(b"k", b"")])
    await park(here, b"k")
    parked = await opened(here)
    assert await parked.holds(ORDER, b"k")
    await parked.close()


async def test_what_a_predecessor_parked_is_known_once_its_partition_came(here: ErpHarness) -> None:
    parked = await opened(here)
    await park(here, b"k")
    parked.take_over()
    assert await parked.holds(ORDER, b"k")
    assert not await parked.holds(ORDER, b"other")
    await parked.close()


class SlowReader:
    """A reader whose first answers are empty, as those of a busy broker may be."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._empty = 3

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def read(self, limit: int, timeout: float) -> list[Record]:
        if self._empty:
            self._empty -= 1
            return []
        records: list[Record] = await self._reader.read(limit, timeout)
        return records


async def test_an_answer_without_letters_is_not_taken_for_their_end(
    here: ErpHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.log.create_topics([TopicSpec(here.codec.topic("dead"))])
    await park(here, b"k")
    reader = here.log.reader

    async def slow(offsets: Any) -> Any:
        return SlowReader(await reader(offsets))

    monkeypatch.setattr(here.log, "reader", slow)
    parked = ParkedKeys(here.log, here.codec, "careful", {TOPIC: ORDER}, lambda: 0.0)
    await parked.open()
    assert await parked.holds(ORDER, b"k")
    await parked.close()


async def test_letters_that_stay_away_are_not_waited_for_without_end(
    here: ErpHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked = await opened(here)
    await park(here, b"k")
    parked.take_over()
    assert parked._reader is not None

    async def nothing(limit: int, timeout: float) -> list[Record]:
        return []

    monkeypatch.setattr(parked._reader, "read", nothing)
    with pytest.raises(RetryLater, match="dead letters can't be read to their end"):
        await parked.holds(ORDER, b"k")
    await parked.close()
