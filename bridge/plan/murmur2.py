"""Kafka's partitioner: murmur2 of the key bytes, the same in every log.

Appleby's 32-bit MurmurHash2 with Kafka's seed. A record written by any Kafka client with the
default partitioner lands where `partition` says.
"""

from __future__ import annotations

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash without its sign bit (Kafka's `toPositive`): 0 to 2**31 - 1."""
    length = len(data)
    hashed = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = (int.from_bytes(data[at : at + 4], "little") * _MIX) & _MASK
        word = ((word ^ (word >> 24)) * _MIX) & _MASK
        hashed = ((hashed * _MIX) & _MASK) ^ word
    if whole < length:
        hashed = ((hashed ^ int.from_bytes(data[whole:], "little")) * _MIX) & _MASK
    hashed = ((hashed ^ (hashed >> 13)) * _MIX) & _MASK
    return (hashed ^ (hashed >> 15)) & 0x7FFFFFFF


def partition(key: bytes | None, partitions: int) -> int:
    """The partition of a key; 0 for a record without one."""
    return 0 if key is None else murmur2(key) % partitions
