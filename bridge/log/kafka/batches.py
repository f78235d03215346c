"""Converts entries to batches for aiokafka's producer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bridge.log.kafka.pack import Pack, packed
from bridge.log.port import Entry
from bridge.plan.murmur2 import partition


class RecordBatch:
    """A full batch with the part of BatchBuilder's interface that aiokafka's accumulator uses.

    `tests/log/test_kafka_batches.py` notices when another version of aiokafka calls more.
    """

    def __init__(self, pack: Pack, *, transactional: bool) -> None:
        self._pack = pack
        self._transactional = transactional
        self._state = (-1, -1, 0)
        self._buffer: bytearray | None = None

    @property
    def partition(self) -> int:
        """Where it belongs."""
        return self._pack.partition

    def record_count(self) -> int:
        """How many records it holds."""
        return self._pack.records()

    def size(self) -> int:
        """Its bytes."""
        return self._pack.bytes_in_all()

    def closed(self) -> bool:
        """Full: aiokafka doesn't wait for more."""
        return True

    def append(self, **_: Any) -> None:
        """Takes nothing more."""

    def _set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int
    ) -> None:
        self._state = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        # The same bytes when it is sent again: the sequence number stays.
        if self._buffer is None:
            self._buffer = self._pack.built(self._transactional, *self._state)
        return self._buffer


def numbers(entries: Sequence[Entry], partitions: int) -> set[int]:
    """The existing partitions that these entries belong to."""
    numbers_by_topic = {
        partition(key, partitions) if number is None else number for key, _, _, _, number in entries
    }
    return {number for number in numbers_by_topic if 0 <= number < partitions}


def batches(
    topic: str, entries: Sequence[Entry], partitions: int, *, transactional: bool
) -> list[RecordBatch]:
    """Full batches, those of one partition in the order of the entries.

    Raises RecordTooLarge for the first entry over the limit, and Rejected for a partition that
    isn't there.
    """
    now = time.time_ns() // 1_000_000
    packs = packed(topic, entries, partitions, now)
    return [RecordBatch(pack, transactional=transactional) for pack in packs]
