"""A stream of bytes is cut into frames wherever it is cut; what is none ends the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.remote import frames
from bridge.gateway.remote.frames import (
    HEADER,
    VERSION,
    FrameBuffer,
    FrameType,
    ReadFrame,
    encode_frame,
)
from bridge.gateway.remote.value_codec import BadFrame, Unsendable

FRAME = st.builds(
    ReadFrame, st.sampled_from(FrameType), st.integers(0, (1 << 32) - 1), st.binary(max_size=50)
)


@given(st.lists(FRAME, max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(
    sent: list[ReadFrame], cuts: list[int]
) -> None:
    stream = b"".join(encode_frame(*frame) for frame in sent)
    buffer, received, begin = FrameBuffer(), [], 0
    for end in [*sorted(cuts), len(stream)]:
        received += list(buffer.feed(stream[begin:end]))
        begin = max(begin, end)
    assert received == sent


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_random_bytes_are_refused_or_waited_for(pieces: list[bytes]) -> None:
    buffer = FrameBuffer()
    try:
        for piece in pieces:
            list(buffer.feed(piece))
    except BadFrame:
        return
    assert len(buffer._bytes) <= sum(map(len, pieces))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (HEADER.pack(0, VERSION + 1, 9, 0), "version 2"),
        (HEADER.pack(frames.MAX_PAYLOAD_BYTES + 1, VERSION, 9, 0), "at most"),
        (HEADER.pack(0, VERSION, 200, 0), "number 200"),
        (b"GET / HTTP/1.1\r\n", "version"),
    ],
)
def test_a_wrong_header_is_refused_before_its_payload_is_waited_for(
    header: bytes, why: str
) -> None:
    with pytest.raises(BadFrame, match=why):
        list(FrameBuffer().feed(header))


def test_frames_before_a_wrong_one_are_delivered() -> None:
    frames_of_stream = FrameBuffer().feed(encode_frame(FrameType.PING) + b"x" * HEADER.size)
    assert next(frames_of_stream) == ReadFrame(FrameType.PING, 0, b"")
    with pytest.raises(BadFrame):
        next(frames_of_stream)


def test_a_payload_that_is_too_large_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_PAYLOAD_BYTES", 10)
    assert len(encode_frame(FrameType.ROWS, 1, bytes(10))) == HEADER.size + 10
    with pytest.raises(Unsendable, match="11 bytes"):
        encode_frame(FrameType.ROWS, 1, bytes(11))
