"""PostgreSQL's binary network addresses as the texts that the server writes of them."""

from __future__ import annotations

import struct

from bridge.model.conversion_error import ConversionError


def inet_text(data: bytes) -> str:
    """`inet`: without the length of a prefix that is a single host."""
    return _address(data, always=False)


def cidr_text(data: bytes) -> str:
    """`cidr`: always with the length of its prefix."""
    return _address(data, always=True)


def _address(data: bytes, *, always: bool) -> str:
    bits, size = data[1], data[3]
    if len(data) != 4 + size or size not in {4, 16}:
        raise ConversionError(f"{len(data)} bytes that are no inet")
    address = _ipv4(data[4:]) if size == 4 else _ipv6(data[4:])
    return f"{address}/{bits}" if always or bits != size * 8 else address


def _ipv4(content: bytes) -> str:
    return ".".join(map(str, content))


def _ipv6(content: bytes) -> str:
    """As PostgreSQL's inet_net_ntop: the longest run of zeros is left out, and an address of IPv4
    (`::1.2.3.4`, `::ffff:1.2.3.4`) ends as one.
    """
    words = struct.unpack(">8H", content)
    start = length = 0
    for at in range(8):
        end = at
        while end < 8 and not words[end]:
            end += 1
        if end - at > max(length, 1):
            start, length = at, end - at
    parts = [f"{word:x}" for word in words]
    if length and not start and (length == 6 or (length == 5 and words[5] == 0xFFFF)):
        parts[6:] = [_ipv4(content[12:])]
    if not length:
        return ":".join(parts)
    return f"{':'.join(parts[:start])}::{':'.join(parts[start + length :])}"


def mac_text(data: bytes) -> str:
    """`macaddr` and `macaddr8`."""
    return data.hex(":")
