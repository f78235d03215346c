"""Frames between a gateway's owner and its clients. Pure.

A frame is a header of 10 bytes and its payload: the payload's length, the version of this protocol, what
the frame is, and the number of the request that it belongs to (0: the connection), in little-endian
order. The version is in every frame, so that whatever else sends bytes is noticed at its first ten.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from bridge.gateway.remote.value_codec import BadFrame, FrameTooLarge

VERSION: Final = 1
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
HEADER: Final = struct.Struct("<IBBI")


class FrameType(IntEnum):
    """What a frame is; with who sends it.

    hello, welcome: the client's registration and the owner's answer, the first frames of each.
    ask: a question of the client. rows: a part of its answer. error: its end without one, of request 0
    the connection's.
    cancel: the client no longer waits for a request; nothing more is sent for it.
    shape: the columns of later rows, by number.
    leaving: the owner takes no further questions; those that it has are answered.
    ping, pong: either side, to find out whether the other one is there.
    """

    HELLO = 1
    WELCOME = 2
    ASK = 3
    ROWS = 4
    ERROR = 5
    CANCEL = 6
    SHAPE = 7
    LEAVING = 8
    PING = 9
    PONG = 10


_TYPES: Final = {int(each): each for each in FrameType}


class ReadFrame(NamedTuple):
    """One frame.

    frame_type: what it is. request: the number that the client gave its question; 0: none. payload:
    as `messages` has it.
    """

    frame_type: FrameType
    request: int
    payload: bytes


def encode_frame(
    frame_type: FrameType, request: int = 0, payload: bytes | bytearray = b""
) -> bytes:
    """The frame's bytes. Raises FrameTooLarge for a payload over `MAX_PAYLOAD_BYTES`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise FrameTooLarge(
            f"{len(payload):,} bytes are more than the {MAX_PAYLOAD_BYTES:,} of a frame between the "
            "processes of a gateway"
        )
    return HEADER.pack(len(payload), VERSION, frame_type, request) + payload


class FrameBuffer:
    """Cuts a stream of bytes into frames. Holds at most one frame's bytes and what came with it.

    max_payload_bytes: of the frames that come; may be changed between calls.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self.max_payload_bytes = max_payload_bytes
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[ReadFrame]:
        """The frames that are complete with these bytes; take all of them before the next call.
        Raises BadFrame, after which the stream can't be used.
        """
        self._bytes += data
        at = 0
        try:
            while len(self._bytes) - at >= HEADER.size:
                size, version, number, request = HEADER.unpack_from(self._bytes, at)
                frame_type = check_header(size, version, number, self.max_payload_bytes)
                end = at + HEADER.size + size
                if len(self._bytes) < end:
                    break
                payload = bytes(memoryview(self._bytes)[at + HEADER.size : end])
                at = end
                yield ReadFrame(frame_type, request, payload)
        finally:
            del self._bytes[:at]


def check_header(size: int, version: int, number: int, most: int) -> FrameType:
    """What a frame is. Raises BadFrame for another version, a size out of bounds, an unknown number."""
    if version != VERSION:
        raise BadFrame(
            f"it speaks version {version} of the gateway's protocol, or none; this is version {VERSION}"
        )
    if size > most:
        raise BadFrame(f"a frame of {size:,} bytes; at most {most:,} are allowed")
    frame_type = _TYPES.get(number)
    if frame_type is None:
        raise BadFrame(f"no frame has the number {number}")
    return frame_type
