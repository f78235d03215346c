"""What capture's records say is mapped to doubts, and what ends each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.checkpoint.record import (
    LEFT_OUT,
    CheckpointRecord,
    EntityPause,
    SnapshotJob,
    SnapshotResult,
)
from bridge.gateway.freshness import doubts as doubts_module
from bridge.gateway.freshness.doubts import Doubts, key_bytes
from bridge.model.framing import header
from bridge.model.freshness import Freshness
from bridge.model.position import format_position
from bridge.model.system_records import DeadLetter

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"\x02k"
PROVED = Freshness("erp", 1, format_position(1, 9, 0), 5.0)


def position(commit: int, epoch: int = 1) -> str:
    return format_position(epoch, commit, 0)


SOUND = CheckpointRecord(
    epoch=1, position=position(5), taken={"order": position(1), "line": position(1)}
)
WHOLE = SnapshotJob("r1", "order", reconcile=True)


def doubts(*records: CheckpointRecord) -> Doubts:
    book = Doubts("erp", ["order", "line"])
    for record in records:
        book.read_checkpoint(record)
    return book


def is_doubted(book: Doubts, entity: str = "order") -> bool:
    return book.claim(entity, PROVED, KEY) is None


def letter(commit: int | None = 6, key: bytes | None = KEY) -> DeadLetter:
    return DeadLetter(
        kind="row",
        source="erp.order",
        reason="no number",
        at=AT,
        position=None if commit is None else position(commit),
        key=None if key is None else header(7) + key,
    )


def ended(record: CheckpointRecord, job: SnapshotJob, failed: str = "") -> CheckpointRecord:
    result = SnapshotResult(job.id, job.entity, 1, 0, position(8), 0, failed)
    others = tuple(each for each in record.jobs if each.id != job.id)
    return replace(record, jobs=others, results=(*record.results, result), position=position(8))


def test_every_entity_is_in_doubt_until_a_checkpoint_was_read() -> None:
    book = doubts()
    assert is_doubted(book)
    assert "no checkpoint" in book.reasons("order")[0]
    assert book.read_checkpoint(SOUND) == {"order", "line"}
    assert book.claim("order", PROVED, KEY) is PROVED
    assert book.claim_of_list("order", PROVED) is PROVED
    assert book.reasons("order", KEY) == ()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (replace(SOUND, taken={"line": position(1)}), "no snapshot"),
        (replace(SOUND, taken={**SOUND.taken, "order": LEFT_OUT}), "no snapshot"),
        (replace(SOUND, epoch=2, taken={**SOUND.taken, "line": position(6, 2)}), "in epoch 2"),
        (replace(SOUND, jobs=(WHOLE,)), "comparison"),
        (replace(SOUND, jobs=(SnapshotJob("truncate-order-5", "order", reconcile=True),)), "trunc"),
        (replace(SOUND, jobs=(SnapshotJob("s", "order"),)), "snapshot is not finished"),
        (replace(SOUND, paused={"order": EntityPause("no fit", "", 0, 3)}), "3 changes were skip"),
    ],
)
def test_what_a_checkpoint_says_of_an_entity_is_a_doubt_of_it_alone(
    record: CheckpointRecord, reason: str
) -> None:
    book = doubts(SOUND, record)
    assert is_doubted(book)
    assert book.claim_of_list("order", PROVED) is None
    assert reason in book.reasons("order")[0]
    assert not is_doubted(book, "line")
    assert book.read_checkpoint(
        replace(
            SOUND, epoch=record.epoch, taken=dict.fromkeys(SOUND.taken, position(7, record.epoch))
        )
    ) == {"order"}
    assert not is_doubted(book)


def test_an_entity_that_cannot_be_captured_is_in_doubt_until_it_can() -> None:
    book = doubts(SOUND)
    assert book.read_status({"order": "no right"}) == frozenset()
    book.read_checkpoint(SOUND)
    assert book.reasons("order") == ("it can't be captured: no right",)
    assert book.read_status({}) == {"order"}
    assert not is_doubted(book)


def test_a_job_between_two_records_still_ends_what_was_proved() -> None:
    """Its deletes may have been written after the high watermarks were taken."""
    book = doubts(SOUND)
    assert book.read_checkpoint(ended(SOUND, WHOLE)) == {"order"}


@pytest.mark.parametrize(
    ("failed", "later", "is_fixed"),
    [
        (WHOLE, replace(WHOLE, id="r2"), True),
        (WHOLE, SnapshotJob("s2", "order"), False),
        (WHOLE, replace(WHOLE, id="d2", deletes_only=True), False),
        (WHOLE, replace(WHOLE, id="w2", where={"a": 1}), False),
        (SnapshotJob("s1", "order"), SnapshotJob("s2", "order"), True),
        (replace(WHOLE, deletes_only=True), replace(WHOLE, id="d2", deletes_only=True), True),
        (replace(WHOLE, deletes_only=True), SnapshotJob("s2", "order"), False),
        (None, replace(WHOLE, id="r2"), True),
        (None, SnapshotJob("s2", "order"), False),
    ],
)
def test_a_job_that_failed_is_made_up_for_by_one_that_does_as_much(
    failed: SnapshotJob | None, later: SnapshotJob, is_fixed: bool
) -> None:
    """A comparison beyond the limit of deletes left rows in the log that the table doesn't have."""
    running = SOUND if failed is None else replace(SOUND, jobs=(failed,))
    incomplete = ended(running, failed or WHOLE, "too many deletes")
    book = doubts(SOUND, running, incomplete)
    assert "too many deletes" in book.reasons("order")[0]
    requested = replace(incomplete, jobs=(later,))
    book.read_checkpoint(requested)
    book.read_checkpoint(ended(requested, later))
    assert is_doubted(book) is not is_fixed


def test_a_key_s_doubt_ends_with_a_later_whole_row_of_it() -> None:
    book = doubts(SOUND)
    book.read_dead_letter(letter(6))
    assert is_doubted(book)
    assert book.claim_of_list("order", PROVED) is None
    assert book.claim("order", PROVED, b"\x02x") is PROVED
    assert "dead-lettered" in book.reasons("order", KEY)[0]
    book.apply_row("order", KEY, position(5), is_whole=True)
    book.apply_row("order", KEY, position(6), is_whole=True)
    book.apply_row("order", KEY, position(7), is_whole=False)
    book.apply_row("order", b"\x02x", position(7), is_whole=True)
    book.apply_row("line", KEY, position(7), is_whole=True)
    book.read_checkpoint(SOUND)
    assert is_doubted(book)
    book.apply_row("order", KEY, position(7), is_whole=True)
    assert not is_doubted(book)


def test_a_letter_that_is_read_after_a_later_row_raises_no_doubt() -> None:
    """Dead letters are a topic of their own, which may be read later."""
    book = doubts(SOUND)
    book.read_dead_letter(letter(6), held=position(7))
    assert not is_doubted(book)
    book.read_dead_letter(letter(6), held=position(5))
    assert is_doubted(book)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.booleans()), max_size=12))
def test_a_key_is_in_doubt_iff_no_whole_row_was_applied_since_its_last_letter_and_after_it(
    steps: list[tuple[bool, int, bool]],
) -> None:
    book = doubts(SOUND)
    letters: list[int] = []
    for is_letter, commit, is_whole in steps:
        if is_letter:
            book.read_dead_letter(letter(commit))
            letters.append(commit)
        else:
            book.apply_row("order", KEY, position(commit), is_whole=is_whole)
            if is_whole and letters and max(letters) < commit:
                letters = []
    assert is_doubted(book) is bool(letters)


@pytest.mark.parametrize("commit", [6, None])
def test_a_letter_without_a_key_puts_the_entity_in_doubt(commit: int | None) -> None:
    book = doubts(SOUND)
    book.read_dead_letter(letter(commit, None))
    book.apply_row("order", KEY, position(9), is_whole=True)
    book.read_checkpoint(SOUND)
    assert is_doubted(book)
    assert not is_doubted(book, "line")


@pytest.mark.parametrize(
    ("seen_at", "job", "is_fixed"),
    [
        (6, WHOLE, True),
        (7, SnapshotJob("s", "order"), True),
        (5, WHOLE, False),  # it may have read the row before it failed
        (7, replace(WHOLE, deletes_only=True), False),
        (7, replace(WHOLE, where={"a": 1}), False),
    ],
)
def test_rows_without_a_key_are_made_up_for_by_a_snapshot_that_began_later(
    seen_at: int, job: SnapshotJob, is_fixed: bool
) -> None:
    before = replace(SOUND, position=position(seen_at))
    book = doubts(before)
    book.read_dead_letter(letter(6, None))
    running = replace(before, jobs=(job,), position=position(8))
    book.read_checkpoint(running)
    assert book.read_checkpoint(ended(running, job)) == {"order"}
    assert is_doubted(book) is not is_fixed


def test_the_first_record_s_job_may_have_begun_at_any_time() -> None:
    running = replace(SOUND, jobs=(WHOLE,))
    book = doubts(running)
    book.read_dead_letter(letter(6, None))
    book.read_checkpoint(ended(running, WHOLE))
    assert is_doubted(book)


@pytest.mark.parametrize(
    "other",
    [
        replace(letter(), source="crm.order"),
        replace(letter(), source="erp.customer"),
        replace(letter(), source="pricing"),
        replace(letter(), kind="event"),
        replace(letter(), kind="command"),
    ],
)
def test_other_dead_letters_say_nothing_of_the_entity(other: DeadLetter) -> None:
    book = doubts(SOUND)
    book.read_dead_letter(other)
    book.read_dead_letter(replace(other, key=None))
    assert not is_doubted(book)


def test_more_doubts_than_are_kept_are_one_of_the_entity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts_module, "MAX_KEYS_IN_DOUBT", 3)
    book = doubts(SOUND)
    for number in range(4):
        book.read_dead_letter(letter(6 + number, bytes([number])))
    assert book.claim("order", PROVED, b"another") is None
    running = replace(SOUND, jobs=(WHOLE,), position=position(9))
    book.read_checkpoint(replace(SOUND, position=position(9)))
    book.read_checkpoint(running)
    book.read_checkpoint(ended(running, WHOLE))
    assert not is_doubted(book)


def test_a_key_is_the_same_under_each_schema_id() -> None:
    assert key_bytes(header(1) + KEY) == key_bytes(header(2) + KEY) == KEY


def test_an_earlier_letter_that_is_read_later_shortens_no_doubt() -> None:
    book = doubts(SOUND)
    book.read_dead_letter(letter(7))
    book.read_dead_letter(letter(4))
    book.apply_row("order", KEY, position(5), is_whole=True)
    assert is_doubted(book)


def test_a_row_at_the_position_of_a_letter_is_no_later_one() -> None:
    book = doubts(SOUND)
    book.read_dead_letter(letter(6), held=position(6))
    assert is_doubted(book)


def test_a_snapshot_has_to_begin_after_all_rows_without_a_key() -> None:
    running = replace(SOUND, jobs=(WHOLE,), position=position(6))
    book = doubts(SOUND)
    book.read_dead_letter(letter(6, None))
    book.read_dead_letter(letter(4, None))
    book.read_checkpoint(running)
    book.read_checkpoint(ended(running, WHOLE))
    assert is_doubted(book)
