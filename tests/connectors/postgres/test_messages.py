"""Logical messages: anybody who may log in may write any, with any prefix and any bytes."""

from __future__ import annotations

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.connector import Batch
from connectors.postgres.protocol.frames import (
    COMMAND,
    HEARTBEAT,
    MAX_MESSAGE_BYTES,
    WATERMARK,
    Frames,
)
from tests.connectors.postgres.postgres_erp import PostgresErp, changes_of, open_source, read_to
from tests.example_counts import examples

PREFIXES = st.one_of(
    st.sampled_from([COMMAND.encode(), WATERMARK.encode(), HEARTBEAT.encode(), b""]),
    st.binary(max_size=20).map(lambda prefix: prefix.replace(b"\0", b"")),
)


def frame(message: bytes) -> bytes:
    return b"w" + struct.pack(">QQQ", 1, 2, 3) + message


def logical(prefix: bytes, content: bytes, *, transactional: bool) -> bytes:
    head = b"M" + bytes([transactional]) + struct.pack(">Q", 0x2000)
    return frame(head + prefix + b"\0" + struct.pack(">i", len(content)) + content)


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(
    PREFIXES, st.one_of(st.binary(max_size=60), st.text(max_size=30).map(str.encode)), st.booleans()
)
@example(COMMAND.encode(), b"\xff\xfe", True)
@example(WATERMARK.encode(), b"\xff\xfe", False)
@example(WATERMARK.encode(), b"x" * (MAX_MESSAGE_BYTES + 1), False)
@example(b"\xff", b"", True)
def test_no_message_ends_the_stream(prefix: bytes, content: bytes, transactional: bool) -> None:
    frames = Frames(lambda _: None)
    begin = frame(b"B" + struct.pack(">QqI", 0x3000, 0, 7))
    batch = Batch([], b"", 0)
    frames.feed([begin, logical(prefix, content, transactional=transactional)], batch)
    if frames.causation is not None:
        assert frames.causation.encode() == content
        assert (prefix, transactional) == (COMMAND.encode(), True)
    for mark in batch.watermarks:
        assert mark.name.encode() == content
        assert (prefix, transactional) == (WATERMARK.encode(), False)
    # What comes after it is read.
    ours = [logical(COMMAND.encode(), b"bot:1", transactional=True)]
    ours.append(logical(WATERMARK.encode(), b"one", transactional=False))
    frames.feed(ours, batch)
    assert frames.causation == "bot:1"
    assert batch.watermarks[-1].name == "one"


async def test_messages_that_others_write_with_our_prefixes_stop_nothing(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        for prefix in (COMMAND, WATERMARK, HEARTBEAT):
            for transactional in ("true", "false"):
                for content in (r"'\xfffe'::bytea", "'a' || chr(10)", "repeat('x', 3000000)", "''"):
                    erp.run(
                        f"SELECT pg_logical_emit_message({transactional}, '{prefix}', {content})"
                    )
        erp.run(
            "BEGIN",
            "SELECT pg_logical_emit_message(true, 'bridge.command', 'bot:1')",
            r"SELECT pg_logical_emit_message(true, 'bridge.command', '\xff'::bytea)",
            "INSERT INTO t VALUES (1)",
            "COMMIT",
        )
        [change] = changes_of(await read_to(source, "mine"))
        assert change.causation == "bot:1"
