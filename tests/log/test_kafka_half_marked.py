"""A transaction whose markers are written one partition after the other, on a real broker."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from bridge.log.kafka import from_url
from bridge.log.kafka.log import KafkaLog
from bridge.log.port import Consumer, TopicPartition
from bridge.log.read_to_end import read_past_markers
from tests.log.half_marked import HalfMarked, half_marked

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def log(kafka: Kafka) -> AsyncIterator[KafkaLog]:
    log = from_url(f"kafka://{kafka.bootstrap}")
    await log.open()
    yield log
    await log.close()


@pytest_asyncio.fixture
async def half(kafka: Kafka, log: KafkaLog) -> AsyncIterator[HalfMarked]:
    async with half_marked(kafka.bootstrap, log, f"half{secrets.token_hex(4)}") as half:
        yield half


async def numbers_up_to(reader: Consumer, ends: Mapping[TopicPartition, int]) -> list[int]:
    """The partitions of the records that come until all of `ends` are reached."""
    numbers: list[int] = []
    while behind := [each for each, at in ends.items() if reader.position(each) < at]:
        numbers += [r.partition for r in await read_past_markers(reader, behind, 100, 60.0)]
    return numbers


async def test_last_stable_offsets_are_reached_with_one_half(
    log: KafkaLog, half: HalfMarked
) -> None:
    """Why a barrier isn't passed when the last stable offsets are reached."""
    first, second = half.partitions
    reader = await log.reader(dict.fromkeys(half.partitions, 0))
    await half.mark(0)

    ends = await log.end_offsets(half.partitions)

    assert ends == {first: 2, second: 0}
    assert await numbers_up_to(reader, ends) == [0]


async def test_high_watermarks_are_reached_with_both_halves_only(
    log: KafkaLog, half: HalfMarked
) -> None:
    first, second = half.partitions
    reader = await log.reader(dict.fromkeys(half.partitions, 0))
    await half.mark(0)

    watermarks = await log.high_watermarks(half.partitions)

    assert watermarks == {first: 2, second: 1}
    assert await numbers_up_to(reader, {first: 2}) == [0]
    assert reader.position(second) < watermarks[second]
    await half.mark(1)
    assert await numbers_up_to(reader, watermarks) == [1]
