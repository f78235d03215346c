# cython: annotation_typing=False, boundscheck=False, wraparound=False, cdivision=True
"""Packs entries into Kafka's record batches (format v2), by partition and in order.

The file runs interpreted as it stands, and compiled with the C types of `pack.pxd`: aiokafka's own
builder needs 3 µs for a record with six headers, this 0.3. Source: the record and record batch of
https://kafka.apache.org/documentation/#messageformat
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.record.util import calc_crc32c

from bridge.log.kafka.settings import MAX_BATCH_BYTES, MAX_RECORD_BYTES
from bridge.log.port import RecordTooLarge
from bridge.model.errors import Rejected

try:
    import cython
except ImportError:  # Cython is needed to compile this file, never to run it.
    from bridge.plan import uncompiled as cython


if not cython.compiled:
    # The compiled form has these in C.
    from bridge.plan.native import (
        bytes_of,
        copy,
        larger,
        murmur2,
        release,
        slot,
        space,
        taken,
        zigzag,
    )

#: Whether this is the compiled form.
COMPILED: bool = bool(cython.compiled)

#: A batch's header up to the number of its records: offset, length, leader epoch, magic, CRC;
#: attributes, last offset, first and newest timestamp, producer id and epoch, sequence, records.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_SIZE: Final = 61
_CRC_AT, _COVERED_FROM, _COUNTED_FROM = 17, 21, 12
_TRANSACTIONAL = 0x10

# Names of C variables in the compiled form.
record_limit = MAX_RECORD_BYTES
batch_limit = MAX_BATCH_BYTES

_NAMES: dict[Any, bytes] = {}
_NAMES_KEPT = 1024


class Pack:
    """The records of one batch. `partition` is where they belong."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.count = 0
        self.size = 4096
        self.at = 61
        self.first = 0
        self.newest = 0
        self.buffer = space(self.size)

    def __dealloc__(self) -> None:
        release(self.buffer)

    def bytes_in_all(self) -> int:
        """How long the batch is, with its header."""
        return self.at

    def records(self) -> int:
        """How many records there are."""
        return self.count

    def built(self, transactional: bool, producer: int, epoch: int, sequence: int) -> bytearray:
        """The whole batch, as that producer sends it."""
        data = bytearray(taken(self.buffer, 0, self.at))
        _HEADER.pack_into(
            data, 0, 0, self.at - _COUNTED_FROM, -1, 2, 0, _TRANSACTIONAL if transactional else 0,
            self.count - 1, self.first, self.newest, producer, epoch, sequence, self.count,
        )  # fmt: skip
        crc = calc_crc32c(memoryview(data)[_COVERED_FROM:])
        struct.pack_into(">I", data, _CRC_AT, crc)
        return data

    def add(  # noqa: PLR0917
        self, key: Any, value: Any, heads: list[Any], timestamp: int, content: int, limit: int
    ) -> int:
        """Append a record whose key, value and headers take `content` bytes; 0 where the batch
        would be longer than `limit` then.
        """
        if self.count == 0:
            self.first = timestamp
            self.newest = timestamp
        delta = zigzag(timestamp - self.first)
        number = zigzag(self.count)
        length = 1 + width(delta) + width(number) + content
        framed = zigzag(length)
        if self.at + width(framed) + length > limit:
            return 0
        if self.at + 10 + length > self.size:
            self.size = 2 * (self.at + 10 + length)
            self.buffer = larger(self.buffer, self.size)
        self._number(framed)
        self.buffer[self.at] = 0
        self.at += 1
        self._number(delta)
        self._number(number)
        self._content(key)
        self._content(value)
        self._number(zigzag(len(heads)))
        for pair in heads:
            self._content(encoded(slot(pair, 0)))
            self._content(slot(pair, 1))
        self.newest = max(self.newest, timestamp)
        self.count += 1
        return 1

    def _number(self, rest: int) -> int:
        at = self.at
        while rest > 0x7F:
            self.buffer[at] = (rest & 0x7F) | 0x80
            rest >>= 7
            at += 1
        self.buffer[at] = rest
        self.at = at + 1
        return 0

    def _content(self, content: Any) -> int:
        if content is None:
            self.buffer[self.at] = 1
            self.at += 1
            return 0
        data = content if type(content) is bytes else bytes_of(content)
        size = len(data)
        self._number(zigzag(size))
        copy(self.buffer, self.at, data, 0, size)
        self.at += size
        return 0


def packed(topic: str, entries: Sequence[Any], partitions: int, now: int) -> list[Pack]:
    """Full batches for a topic of so many partitions; those of one partition in order.

    An entry is a tuple of the five slots of `bridge.log.port.Entry`; `now` is the timestamp, in
    milliseconds, of those that have none. Raises RecordTooLarge, and Rejected for a partition that
    isn't there.
    """
    done: list[Pack] = []
    under_way: list[Any] = [None] * partitions
    for entry in entries:
        if not isinstance(entry, tuple) or len(entry) != 5:
            raise TypeError("an entry is a tuple of the five slots of bridge.log.port.Entry")
        key = slot(entry, 0)
        value = slot(entry, 1)
        headers = slot(entry, 2)
        heads = headers if type(headers) is list else list(headers)
        where = slot(entry, 4)
        timestamp = now if slot(entry, 3) is None else slot(entry, 3)
        if where is None:
            number = 0 if key is None else murmur2(key) % partitions
        else:
            number = where
            if number < 0 or number >= partitions:
                raise no_such(topic, number, partitions)
        named = 0
        content = width(zigzag(len(heads)))
        for pair in heads:
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError("a header is a tuple of a name and its content")
            size = len(encoded(slot(pair, 0)))
            content += width(zigzag(size)) + size
            named += size
            held = slot(pair, 1)
            size = 0 if held is None else len(held)
            content += width(zigzag(size)) + size
            named += size
        size = 0 if key is None else len(key)
        content += width(zigzag(size)) + size
        named += size
        size = 0 if value is None else len(value)
        content += width(zigzag(size)) + size
        named += size
        if named > record_limit:
            raise too_large(topic, named)
        pack = under_way[number]
        if pack is None or not pack.add(key, value, heads, timestamp, content, batch_limit):
            pack = Pack(number)
            if not pack.add(key, value, heads, timestamp, content, batch_limit):
                # Very many headers: the record is short enough, its batch isn't.
                raise too_large(topic, named)
            under_way[number] = pack
            done.append(pack)
    return done


def width(rest: int) -> int:
    """How many bytes a number takes."""
    size = 1
    while rest > 0x7F:
        rest >>= 7
        size += 1
    return size


def encoded(name: Any) -> bytes:
    """A header's name as bytes; there are few different ones."""
    name_bytes = _NAMES.get(name)
    if name_bytes is None:
        name_bytes = name.encode()
        if len(_NAMES) >= _NAMES_KEPT:
            _NAMES.clear()
        _NAMES[name] = name_bytes
    return name_bytes


def too_large(topic: str, size: int) -> RecordTooLarge:
    """The error for a record of so many bytes."""
    return RecordTooLarge(
        f"topic {topic}: a record of {size} bytes (key, value and headers) is over "
        f"the limit of {MAX_RECORD_BYTES}"
    )


def no_such(topic: str, number: int, partitions: int) -> Rejected:
    """The error for a partition that isn't there."""
    return Rejected(
        "no_such_partition", f"topic {topic} has no partition {number}: it has {partitions}"
    )
