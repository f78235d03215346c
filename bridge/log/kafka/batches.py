"""Entries to batches that a broker takes: by partition, in order, none too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NoReturn

from bridge.log.kafka.settings import MAX_BATCH, MAX_RECORD
from bridge.log.port import Entry, RecordTooLarge
from bridge.plan.murmur2 import partition as partition_of

#: The overhead of one record and its batch never reaches this, so that smaller ones needn't
#: be measured in full.
_SLACK: Final = 4_096


def by_partition(entries: Iterable[Entry], partitions: int) -> dict[int, list[Entry]]:
    """Entries by their partition, each list in the given order.

    Raises ValueError for a partition that isn't there.
    """
    groups: dict[int, list[Entry]] = {}
    for entry in entries:
        number = entry[4]
        if number is None:
            number = partition_of(entry[0], partitions)
        group = groups.get(number)
        if group is None:
            if not 0 <= number < partitions:
                raise ValueError(f"partition {number} does not exist: there are {partitions}")
            group = groups[number] = []
        group.append(entry)
    return groups


def check_sizes(topic: str, entries: Iterable[Entry]) -> None:
    """Raise RecordTooLarge for the first entry that is over the limit."""
    for entry in entries:
        key, value, headers = entry[0], entry[1], entry[2]
        size = (len(key) if key else 0) + (len(value) if value else 0)
        if headers:
            # The hot path has a handful of short headers: only suspects are measured.
            size += _SLACK if len(headers) <= 16 else 0
            if size > MAX_RECORD or len(headers) > 16:
                size = record_bytes(entry)
        if size > MAX_RECORD:
            _refuse(topic, entry)


def record_bytes(entry: Entry) -> int:
    """Bytes of key, value and headers."""
    key, value, headers = entry[0], entry[1], entry[2]
    named = sum(len(name.encode()) + len(content) for name, content in headers)
    return (len(key) if key else 0) + (len(value) if value else 0) + named


def filled(
    topic: str, entries: Sequence[Entry], create: Callable[[], Any]
) -> Iterator[tuple[Any, int]]:
    """Full batches of one partition, made by `create`, and how many entries each holds."""
    batch = create()
    count = 0
    for entry in entries:
        key, value, headers, timestamp, _ = entry
        if type(headers) is not list:
            headers = list(headers)
        if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
            yield batch, count
            batch, count = create(), 0
            batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
        count += 1
        # A batch's first record is taken whatever its size; very many headers may exceed it.
        if count == 1 and batch.size() > MAX_BATCH:
            _refuse(topic, entry)
    if count:
        yield batch, count


def _refuse(topic: str, entry: Entry) -> NoReturn:
    raise RecordTooLarge(
        f"topic {topic}: a record of {record_bytes(entry)} bytes (key, value and headers) is over "
        f"the limit of {MAX_RECORD}"
    )
