"""The decoder of pgoutput frames: on what a real server sends, and on frames made by hand."""

import struct
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import Batch, Change, Column, Shape
from bridge.model.errors import HistoryLost, RetryLater
from bridge.model.types import FieldType
from bridge.plan.steps import Wire
from tests.example_counts import examples
from tests.plan.plans import pgoutput
from tests.services.postgres import Postgres

OPTIONS = "'proto_version', '1', 'publication_names', 'p', 'messages', 'true', 'binary', 'true'"


def xlog(message: bytes, start: int = 100, end: int = 100) -> bytes:
    return b"w" + struct.pack(">QQq", start, end, 0) + message


def begin(lsn: int, xid: int = 7, at: int = 5) -> bytes:
    return xlog(b"B" + struct.pack(">QqI", lsn, at, xid))


def commit(lsn: int) -> bytes:
    return xlog(b"C" + struct.pack(">BQQq", 0, lsn, lsn + 8, 5))


def relation(
    oid: int, name: str, columns: tuple[str, ...] = ("id",), identity: bytes = b"d"
) -> bytes:
    parts = [b"R", struct.pack(">I", oid), b"public\0", name.encode(), b"\0", identity]
    parts.append(struct.pack(">h", len(columns)))
    parts += [b"\1" + each.encode() + b"\0" + struct.pack(">Ii", 23, -1) for each in columns]
    return xlog(b"".join(parts))


def row(number: int) -> bytes:
    return pgoutput([struct.pack(">i", number)])


def insert(oid: int, number: int) -> bytes:
    return xlog(b"I" + struct.pack(">I", oid) + b"N" + row(number))


def message(prefix: str, content: str, *, transactional: bool, lsn: int = 100) -> bytes:
    head = b"M" + struct.pack(">BQ", transactional, lsn) + prefix.encode() + b"\0"
    return xlog(head + struct.pack(">i", len(content.encode())) + content.encode())


def keepalive(end: int, *, reply: bool = False) -> bytes:
    return b"k" + struct.pack(">QqB", end, 0, reply)


def shape_of(relation: Any) -> Shape | None:
    if relation.name == "unwanted":
        return None
    columns = tuple(
        Column(each.name, "int4", FieldType("integer"), "int4") for each in relation.columns
    )
    return Shape(f"{relation.namespace}.{relation.name}", columns, Wire.PGOUTPUT)


def fed(form: ModuleType, *frames: bytes, start: tuple[int, int] = (0, 0)) -> tuple[Any, Batch]:
    decoder = form.Frames(shape_of)
    decoder.resume(*start)
    batch = Batch([], b"", 0)
    decoder.feed([memoryview(frame) for frame in frames], batch)
    return decoder, batch


def test_a_transaction_becomes_its_changes(frames_form: ModuleType) -> None:
    update = xlog(b"U" + struct.pack(">I", 1) + b"K" + row(2) + b"N" + row(3))
    delete = xlog(b"D" + struct.pack(">I", 1) + b"O" + row(3))
    decoder, batch = fed(
        frames_form, begin(200), relation(1, "t"), insert(1, 2), update, delete, commit(200)
    )
    first, second, third = batch.changes
    assert all(type(change) is Change for change in batch.changes)
    assert first.transaction is second.transaction is third.transaction
    assert first.transaction == ("7", 200, 946_684_800_000_005, 7)
    assert [change.op for change in batch.changes] == [1, 2, 3]
    assert [change.index for change in batch.changes] == [0, 1, 2]
    assert (first.old, first.old_full, first.new) == (None, False, row(2))
    assert (second.old, second.old_full, second.new) == (row(2), False, row(3))
    assert (third.old, third.old_full, third.new) == (row(3), True, None)
    assert first.shape is third.shape
    assert decoder.position() == (208, 0)
    assert decoder.committed == 200


def test_tables_that_are_not_wanted_are_skipped_and_counted(frames_form: ModuleType) -> None:
    _, batch = fed(
        frames_form,
        begin(200),
        relation(1, "t"),
        relation(2, "unwanted"),
        insert(2, 1),
        insert(1, 2),
        insert(2, 3),
        insert(1, 4),
        commit(200),
    )
    assert [(change.index, change.new) for change in batch.changes] == [(1, row(2)), (3, row(4))]


def test_a_marker_is_the_causation_of_what_follows_it_in_its_transaction(
    frames_form: ModuleType,
) -> None:
    _, batch = fed(
        frames_form,
        relation(1, "t"),
        begin(200),
        insert(1, 1),
        message("bridge.command", "cmd:1", transactional=True),
        insert(1, 2),
        insert(1, 3),
        message("bridge.command", "cmd:ö", transactional=True),
        message("other", "noise", transactional=True),
        insert(1, 4),
        commit(200),
        begin(300),
        insert(1, 5),
        commit(300),
    )
    causations = [change.causation for change in batch.changes]
    assert causations == [None, "cmd:1", "cmd:1", "cmd:ö", None]


def test_watermarks_stand_between_the_changes_around_them(frames_form: ModuleType) -> None:
    decoder, batch = fed(
        frames_form,
        relation(1, "t"),
        message("bridge.watermark", "low", transactional=False, lsn=150),
        begin(200),
        insert(1, 1),
        commit(200),
        message("bridge.watermark", "high", transactional=False, lsn=250),
        message("bridge.heartbeat", "", transactional=False, lsn=300),
    )
    assert batch.watermarks == [(0, "low", 149), (1, "high", 249)]
    assert decoder.position() == (300, 0)
    assert decoder.committed == 300


def test_a_truncate_names_its_wanted_tables(frames_form: ModuleType) -> None:
    truncate = xlog(b"T" + struct.pack(">iBII", 2, 0, 1, 2))
    only_unwanted = xlog(b"T" + struct.pack(">iBI", 1, 0, 2))
    _, batch = fed(
        frames_form,
        relation(1, "t"),
        relation(2, "unwanted"),
        begin(200),
        insert(1, 1),
        truncate,
        only_unwanted,
        insert(1, 2),
        commit(200),
    )
    assert [(each.at, each.tables) for each in batch.truncates] == [(1, ("public.t",))]
    assert [change.index for change in batch.changes] == [0, 3]


def test_an_idle_stream_moves_on_and_a_busy_one_does_not(frames_form: ModuleType) -> None:
    decoder, _ = fed(frames_form, keepalive(500))
    assert (decoder.position(), decoder.committed, decoder.received) == ((500, 0), 500, 500)
    decoder, _ = fed(frames_form, relation(1, "t"), begin(200), insert(1, 1), keepalive(500))
    assert decoder.position() == (200, 1)
    assert decoder.committed == 0
    assert decoder.received == 500
    assert decoder.inside


def test_a_reply_that_the_server_asks_for_is_told(frames_form: ModuleType) -> None:
    decoder, _ = fed(frames_form, keepalive(5, reply=True), keepalive(6))
    assert decoder.reply
    decoder.reply = False
    decoder.feed([keepalive(7)], Batch([], b"", 0))
    assert not decoder.reply


def stream(sizes: list[int]) -> list[bytes]:
    frames = [relation(1, "t"), relation(2, "unwanted")]
    number = 0
    for at, size in enumerate(sizes):
        lsn = 200 + 100 * at
        frames += [message("bridge.watermark", f"w{at}", transactional=False, lsn=lsn - 50)]
        frames += [begin(lsn, xid=at)]
        for _ in range(size):
            number += 1
            if number % 5 == 0:
                frames.append(message("bridge.command", f"c{number}", transactional=True))
            if number % 7 == 0:
                frames.append(xlog(b"T" + struct.pack(">iBI", 1, 0, 1)))
            frames.append(insert(2 if number % 4 == 0 else 1, number))
        frames.append(commit(lsn))
    return frames


def described(batch: Batch) -> list[Any]:
    changes = [
        (each.new, each.index, each.transaction.commit, each.causation) for each in batch.changes
    ]
    truncates = [(each.tables, each.transaction.commit) for each in batch.truncates]
    return [changes, truncates]


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.data())
def test_resuming_anywhere_repeats_nothing_and_leaves_nothing_out(
    compiled_frames: ModuleType,
    interpreted_frames: ModuleType,
    sizes: list[int],
    data: st.DataObject,
) -> None:
    frames = stream(sizes)
    cut = data.draw(st.integers(2, len(frames)))
    for form in (compiled_frames, interpreted_frames):
        _, whole = fed(form, *frames)
        decoder, first = fed(form, *frames[:cut])
        lsn, steps = decoder.position()
        # What a server sends again: every transaction whose commit record isn't before `lsn`.
        again, keep = list(frames[:2]), False
        for frame in frames[2:]:
            if frame[25:26] == b"B":
                keep = int.from_bytes(frame[26:34], "big") >= lsn
            elif frame[25:26] == b"M" and frame[26] == 0:
                keep = int.from_bytes(frame[27:35], "big") >= lsn
            if keep:
                again.append(frame)
        _, rest = fed(form, *again, start=(lsn, steps))
        for before, other, both in zip(
            described(first), described(rest), described(whole), strict=True
        ):
            assert before + other == both


@pytest.mark.parametrize("told_before", [0, 1, 4, 9])
def test_a_checkpoint_taken_while_what_was_told_comes_again_stands_where_the_last_one_did(
    frames_form: ModuleType, told_before: int
) -> None:
    frames = [relation(1, "t"), begin(200), *(insert(1, number) for number in range(9))]
    decoder, _ = fed(frames_form, *frames[: 2 + told_before])
    resume_point = decoder.position()
    # A second interruption, before the server has sent again all that was told before the first.
    for again in range(2 + told_before + 1):
        decoder, batch = fed(frames_form, *frames[:again], start=resume_point)
        assert not batch.changes
        assert decoder.position() == resume_point, f"{again} frames in"


def test_a_transaction_that_is_no_longer_there_is_history_lost(frames_form: ModuleType) -> None:
    with pytest.raises(HistoryLost, match=r"commits at 0/C8.*commits at 0/12C.*--reconcile"):
        fed(frames_form, relation(1, "t"), begin(300), start=(200, 3))


def test_an_unchanged_relation_keeps_its_shape_and_a_changed_one_gets_another(
    frames_form: ModuleType,
) -> None:
    _, batch = fed(
        frames_form,
        begin(200),
        relation(1, "t"),
        insert(1, 1),
        relation(1, "t"),
        insert(1, 2),
        relation(1, "t", ("id", "more")),
        insert(1, 3),
        commit(200),
    )
    first, two, three = (change.shape for change in batch.changes)
    assert first is two
    assert two is not three
    assert [column.name for column in three.columns] == ["id", "more"]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_frame_asks_for_a_new_connection_in_both_forms(
    compiled_frames: ModuleType, interpreted_frames: ModuleType, data: st.DataObject
) -> None:
    frames = [
        *stream([3]),
        keepalive(5),
        xlog(b"U" + struct.pack(">I", 1) + b"O" + row(1) + b"N" + row(2)),
    ]
    at = data.draw(st.integers(0, len(frames) - 1))
    frame = frames[at]
    if data.draw(st.booleans()):
        frame = frame[: data.draw(st.integers(0, len(frame) - 1))]
    else:
        damaged_at = data.draw(st.integers(0, len(frame) - 1))
        frame = (
            frame[:damaged_at] + bytes([data.draw(st.integers(0, 255))]) + frame[damaged_at + 1 :]
        )
    frames[at] = frame
    results = []
    for form in (compiled_frames, interpreted_frames):
        decoder = form.Frames(shape_of)
        batch = Batch([], b"", 0)
        try:
            decoder.feed(frames, batch)
            outcome = "fed"
        except RetryLater:
            outcome = "refused"
        except OverflowError:
            outcome = "overflow"
        results.append((outcome, described(batch), batch.watermarks, decoder.position()))
    assert results[0] == results[1]
    assert results[0][0] != "overflow"


@pytest.fixture
def slot(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, big text, n numeric(9,2))")
        connection.execute("ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
        connection.execute("CREATE TABLE whole (id int PRIMARY KEY, big text)")
        connection.execute("ALTER TABLE whole REPLICA IDENTITY FULL")
        connection.execute("CREATE PUBLICATION p FOR TABLE t, whole")
        connection.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        yield connection


def test_what_a_real_server_sends(
    postgres: Postgres, slot: psycopg.Connection[Any], frames_form: ModuleType
) -> None:
    with slot.transaction():
        slot.execute("SELECT pg_logical_emit_message(true, 'bridge.command', 'cmd:1')")
        slot.execute("INSERT INTO t VALUES (1, repeat('x', 9000), 1.5), (2, NULL, NULL)")
        slot.execute("UPDATE t SET n = 2 WHERE id = 1")
        slot.execute("UPDATE t SET id = 3 WHERE id = 2")
    slot.execute("SELECT pg_logical_emit_message(false, 'bridge.watermark', 'low')")
    with slot.transaction():
        slot.execute("INSERT INTO whole VALUES (1, repeat('y', 9000))")
        slot.execute("UPDATE whole SET id = 1")
        slot.execute("DELETE FROM whole")
        slot.execute("TRUNCATE t, whole")
    rows = slot.execute(
        f"SELECT data FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, {OPTIONS})"
    ).fetchall()
    _, batch = fed(frames_form, *(xlog(bytes(data)) for (data,) in rows))
    ops = [
        (each.shape.table, each.op, each.old_full, each.index, each.causation)
        for each in batch.changes
    ]
    assert ops == [
        ("public.t", 1, False, 0, "cmd:1"),
        ("public.t", 1, False, 1, "cmd:1"),
        ("public.t", 2, False, 2, "cmd:1"),
        ("public.t", 2, False, 3, "cmd:1"),
        ("public.whole", 1, False, 0, None),
        ("public.whole", 2, True, 1, None),
        ("public.whole", 3, True, 2, None),
    ]
    inserted, _, updated, moved, _, rewritten, deleted = batch.changes
    assert len(inserted.new) > 9000
    assert updated.new[2 + 9 : 2 + 10] == b"u", "an unchanged big value isn't sent"
    assert updated.old is None
    assert moved.old == pgoutput([struct.pack(">i", 2), None, None])
    assert len(rewritten.old) > 9000
    assert len(deleted.old) > 9000
    assert [(mark.at, mark.name) for mark in batch.watermarks] == [(4, "low")]
    assert [(each.at, set(each.tables)) for each in batch.truncates] == [
        (7, {"public.t", "public.whole"})
    ]
    assert inserted.transaction.commit < deleted.transaction.commit
    assert batch.watermarks[0].commit - inserted.transaction.commit > 0
    assert inserted.transaction.visibility == int(inserted.transaction.id or 0) > 0
