"""Bodies of answers within bounds, for every reader: the login, a redirect or the caller.

httpx decompresses a whole piece at once, however large it becomes, and reads whole bodies by itself
before it follows a redirect or logs in again. So bodies are decompressed here, in small steps.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final, cast

import httpx

from connectors.http.errors import AnswerTooLarge, UnreadableAnswer

MAX_BODY_BYTES: Final = 64 * 2**20
MAX_ERROR_BODY_BYTES: Final = 2**20
"""Of a refusal, whose rest is left out."""
MAX_BODY_S: Final = 600.0
"""The time-outs of httpx begin again with each byte."""
MAX_COMPRESSION_RATIO: Final = 500
RATIO_FROM_BYTES: Final = 8 * 2**20
"""A body that is compressed more than this many times is no data; below this size it does no harm."""
ACCEPT_ENCODING: Final = "gzip, deflate"
_STEP_BYTES: Final = 2**16
_FRAME_BYTES: Final = 2
_GZIP_MAGIC: Final = b"\x1f\x8b"
_AUTOMATIC, _RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS

Hook = Callable[[httpx.Response], Awaitable[None]]


def bound_answers(
    max_bytes: int = MAX_BODY_BYTES, *, monotonic: Callable[[], float] = time.monotonic
) -> Hook:
    """A hook of an httpx client for its `response` events. Reading a body then raises
    UnreadableAnswer, or its AnswerTooLarge. The client's `Accept-Encoding` is `ACCEPT_ENCODING`.
    """

    async def bound(response: httpx.Response) -> None:
        encoding = response.headers.pop("content-encoding", "").strip().lower()
        refused = response.status_code >= 400
        response.stream = _BoundedStream(
            cast("httpx.AsyncByteStream", response.stream),
            encoding,
            min(max_bytes, MAX_ERROR_BODY_BYTES) if refused else max_bytes,
            cut=refused,
            monotonic=monotonic,
        )

    return bound


class _BoundedStream(httpx.AsyncByteStream):
    """`cut`: what is beyond `max_bytes` is left out, not refused."""

    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        encoding: str,
        max_bytes: int,
        *,
        cut: bool,
        monotonic: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._cut = cut
        self._monotonic = monotonic
        self._until = monotonic() + MAX_BODY_S

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, decompressed."""
        decoder = _decoder(self._encoding)
        received = size = 0
        async for raw in self._stream:
            received += len(raw)
            if self._monotonic() > self._until:
                raise UnreadableAnswer(f"it has taken more than {MAX_BODY_S:.0f} s")
            for part in decoder.feed(raw):
                size += len(part)
                if size > self._max_bytes:
                    if self._cut:
                        yield part[: len(part) - (size - self._max_bytes)]
                        return
                    raise AnswerTooLarge(f"more than {self._max_bytes // 2**20} MB")
                if size > RATIO_FROM_BYTES and size > MAX_COMPRESSION_RATIO * received:
                    raise AnswerTooLarge(
                        f"{received} compressed bytes, which become more than {size}"
                    )
                yield part
            if received > self._max_bytes:
                # Bytes that never become anything: after the end of what is compressed, or in its head.
                if self._cut:
                    return
                raise AnswerTooLarge(f"more than {self._max_bytes // 2**20} MB")
        if received and not self._cut:
            decoder.end()

    async def aclose(self) -> None:
        """End the answer."""
        await self._stream.aclose()


def _decoder(encoding: str) -> _Plain | _Inflating:
    if encoding in {"", "identity"}:
        return _Plain()
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return _Inflating()
    raise UnreadableAnswer(f"it is encoded as {encoding[:40]!r}, which was not asked for")


class _Plain:
    def feed(self, raw: bytes) -> Iterator[bytes]:
        yield raw

    def end(self) -> None:
        """Nothing to check: httpx compares the length with the header's."""


class _Inflating:
    def __init__(self) -> None:
        self._head = b""
        self._inflater = zlib.decompressobj()

    def feed(self, raw: bytes) -> Iterator[bytes]:
        if len(self._head) < _FRAME_BYTES:
            self._head += raw
            if len(self._head) < _FRAME_BYTES:
                return
            raw, self._inflater = self._head, zlib.decompressobj(_window_bits(self._head))
        # What comes after the end is left out; zlib would keep all of it.
        while raw and not self._inflater.eof:
            try:
                part = self._inflater.decompress(raw, _STEP_BYTES)
            except zlib.error as error:
                raise UnreadableAnswer(f"it can't be decompressed: {error}") from None
            raw = self._inflater.unconsumed_tail
            if part:
                yield part

    def end(self) -> None:
        if not self._inflater.eof:
            raise UnreadableAnswer("its compressed body breaks off")


def _window_bits(head: bytes) -> int:
    """By which frame a body begins; some services send `deflate` without any."""
    framed = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2]) % 31 == 0
    return _AUTOMATIC if framed or head.startswith(_GZIP_MAGIC) else _RAW
