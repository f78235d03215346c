"""Bodies that are larger than they look, or not what their headers say."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Generator, Mapping

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http import bounded_body
from connectors.http.bounded_body import ACCEPT_ENCODING, MAX_ERROR_BODY_BYTES, bound_answers
from connectors.http.errors import AnswerTooLarge, UnreadableAnswer


class Pieces(httpx.AsyncByteStream):
    def __init__(self, body: bytes, size: int) -> None:
        self._body, self._size = body, size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), self._size):
            yield self._body[at : at + self._size]


async def ask(
    body: bytes,
    encoding: str = "",
    *,
    status: int = 200,
    max_bytes: int = 2**20,
    size: int = 5000,
    auth: httpx.Auth | None = None,
) -> bytes:
    """What a client reads of an answer that comes in pieces of a size."""
    headers: Mapping[str, str] = {"Content-Encoding": encoding} if encoding else {}

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == ACCEPT_ENCODING
        return httpx.Response(status, headers=headers, stream=Pieces(body, size))

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(answer),
        headers={"Accept-Encoding": ACCEPT_ENCODING},
        event_hooks={"response": [bound_answers(max_bytes)]},
        auth=auth,
    ) as client:
        return (await client.get("http://erp/")).content


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize("size", [1, 7, 5000])
async def test_bodies_come_as_they_were_whatever_they_are_packed_in(size: int) -> None:
    body = b'{"value": [1, 2]}' * 50
    assert await ask(body, size=size) == body
    assert await ask(gzip.compress(body), "gzip", size=size) == body
    assert await ask(zlib.compress(body), "deflate", size=size) == body
    assert await ask(raw_deflate(body), "deflate", size=size) == body


async def test_a_bomb_is_given_up_before_it_fills_the_memory() -> None:
    bomb = gzip.compress(b"\0" * 100 * 2**20, 1)
    tracemalloc.start()
    with pytest.raises(AnswerTooLarge, match="more than 16 MB"):
        await ask(bomb, "gzip", max_bytes=16 * 2**20, size=len(bomb))
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()


async def test_a_body_that_drips_is_given_up() -> None:
    """Each byte comes in time, and the last one never."""
    ticks = iter(range(0, 10**6, 25))
    hook = bound_answers(monotonic=ticks.__next__)
    answer = httpx.Response(200, stream=Pieces(b"x" * 1000, 1))
    await hook(answer)
    with pytest.raises(UnreadableAnswer, match="more than 600 s"):
        await answer.aread()


async def test_what_is_compressed_to_almost_nothing_is_no_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_body, "RATIO_FROM_BYTES", 2**18)
    bomb = gzip.compress(b"\0" * 2**19)
    with pytest.raises(AnswerTooLarge, match="compressed bytes, which become more than"):
        await ask(bomb, "gzip")


@pytest.mark.parametrize("status", [200, 500])
async def test_bytes_after_the_end_of_what_is_compressed_are_neither_kept_nor_endless(
    status: int,
) -> None:
    """zlib keeps all of them, and copies them with each piece."""
    body = b"x" * 9

    class Endless(httpx.AsyncByteStream):
        pieces = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield gzip.compress(body)
            while self.pieces < 1000:
                self.pieces += 1
                yield b"\0" * 2**16

    stream = Endless()
    answer = httpx.Response(status, headers={"Content-Encoding": "gzip"}, stream=stream)
    await bound_answers(2**20)(answer)
    tracemalloc.start()
    if status == 200:
        with pytest.raises(AnswerTooLarge, match="more than 1 MB"):
            await answer.aread()
    else:
        assert await answer.aread() == body
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert stream.pieces < 20


class Twice(httpx.Auth):
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield request
        yield request


async def test_bodies_that_the_login_reads_are_bounded_too() -> None:
    """httpx reads whole answers by itself before it asks once more with another token."""
    with pytest.raises(AnswerTooLarge):
        await ask(gzip.compress(b" " * 2**21), "gzip", auth=Twice())


async def test_of_a_refusal_the_beginning_is_enough() -> None:
    body = b"x" * (MAX_ERROR_BODY_BYTES + 9)
    for packed, encoding in ((body, ""), (gzip.compress(body), "gzip")):
        read = await ask(packed, encoding, status=500, max_bytes=2**30)
        assert len(read) == MAX_ERROR_BODY_BYTES


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 5000])
async def test_an_encoding_that_nobody_asked_for_is_unreadable(encoding: str) -> None:
    with pytest.raises(UnreadableAnswer, match="not asked for"):
        await ask(b"anything", encoding)


async def test_a_compressed_body_that_breaks_off_is_unreadable() -> None:
    with pytest.raises(UnreadableAnswer, match="breaks off"):
        await ask(gzip.compress(b"x" * 5000)[:-9], "gzip")


@given(st.binary(max_size=60), st.sampled_from(["gzip", "deflate"]), st.integers(1, 20))
async def test_whatever_comes_is_a_body_or_unreadable(raw: bytes, encoding: str, size: int) -> None:
    packed = gzip.compress(b"abc" * 9)
    for body in (raw, packed[:12] + raw, packed + raw):
        try:
            await ask(body, encoding, size=size)
        except UnreadableAnswer:
            continue
