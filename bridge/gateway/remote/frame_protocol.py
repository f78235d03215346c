"""What both ends of a connection share: bytes are received into one buffer, which is used again.

asyncio's plain protocols get a new buffer of 256 kB for each receipt, which costs more than a small
frame does.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from bridge.gateway.remote.frames import FrameBuffer


class FrameProtocol(asyncio.BufferedProtocol, ABC):
    """Calls `received` with what came; `frames` cuts it.

    receive_bytes: of the buffer. max_payload_bytes: of the frames that are taken.
    """

    def __init__(self, receive_bytes: int, max_payload_bytes: int) -> None:
        self.frames = FrameBuffer(max_payload_bytes)
        # Of a bytearray TLS would fill copies of its slices.
        self._buffer = memoryview(bytearray(receive_bytes))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        self.received(bytes(self._buffer[:nbytes]))

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes of the other end."""
