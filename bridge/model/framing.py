"""Confluent wire format: a zero byte, a four-byte big-endian schema id, the Avro bytes.

Source: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/
"""

from __future__ import annotations

import struct

MAGIC = 0
HEADER_SIZE = 5


def header(schema_id: int) -> bytes:
    """The five bytes before the Avro bytes. Raises struct.error outside of 32 bits."""
    return struct.pack(">bI", MAGIC, schema_id)


def schema_id(data: bytes) -> int:
    """The schema id of a framed value; raises ValueError when the frame is not Confluent's."""
    if len(data) < HEADER_SIZE or data[0] != MAGIC:
        message = "not in Confluent wire format: expected a zero byte and a four-byte schema id"
        raise ValueError(message)
    return int.from_bytes(data[1:HEADER_SIZE], "big")
