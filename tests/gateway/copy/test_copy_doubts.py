"""What is in doubt, for how long, and that no record of anybody else ends the follower."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridge.capture.report import status_record
from bridge.capture.report.status_record import SourceStatus
from bridge.gateway.cache.cache_state import CacheBounds
from bridge.gateway.copy.following import SILENT_AFTER_S
from bridge.gateway.follower.topic_follower import RECORDS_PER_READ
from bridge.log.port import Entry, Gap, Record, TopicPartition
from bridge.model import framing
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.system_records import DeadLetter
from bridge.model.types import FieldType
from tests.capture.harness import CaptureHarness
from tests.gateway.copy.harness import CopyHarness, following
from tests.waiting import until

TABLE = "CREATE TABLE t (id integer PRIMARY KEY, a varchar(20))"
ROWS = "INSERT INTO t VALUES (1, 'old'), (2, 'two'), (3, 'three')"
CHANGES, DEAD, POSITIONS, STATUS = "acme.erp.t", "acme.dead", "_acme.positions", "_acme.status"


@asynccontextmanager
async def proved(capture: CaptureHarness, **changes: object) -> AsyncIterator[CopyHarness]:
    """A copy that holds the rows 1 and 2, of a system that is captured."""
    capture.run(TABLE, ROWS)
    await capture.declare("t", *([] if "u" not in changes else ["u"]))
    async with capture.capturing(), following(capture, **changes) as copy:  # type: ignore[arg-type]
        await copy.prove("t")
        await copy.read("t", 1, 2)
        yield copy


def framed_key(copy: CopyHarness, key: int, schema_id: int = 0) -> bytes:
    return framing.header(schema_id) + copy.key("t", key)


async def key_header(copy: CopyHarness) -> bytes:
    """The header of keys in the change topic."""
    [record, *_] = await copy.capture.records("t")
    assert record.record.key is not None
    return record.record.key[: framing.HEADER_SIZE]


async def send_letter(copy: CopyHarness, **changes: object) -> None:
    fields: dict[str, object] = {
        "kind": "row",
        "source": "erp.t",
        "reason": "no number",
        "at": datetime.now(UTC),
        "position": (await copy.capture.records("t"))[-1].change["position"],  # type: ignore[index]
        **changes,
    }
    letter = DeadLetter(**fields)  # type: ignore[arg-type]
    await copy.log.append(DEAD, [copy.codec.entry("dead", letter.source, letter)])


async def test_a_dead_letter_is_a_doubt_of_its_row_until_that_is_captured_whole(
    pg: CaptureHarness,
) -> None:
    async with proved(pg) as copy:
        first, two = copy.key("t", 1), copy.key("t", 2)
        before = copy.copy.claim("t")
        held = copy.entry("t", 1)
        assert held is not None
        await send_letter(copy, key=framed_key(copy, 1))
        await until(lambda: copy.copy.claim("t", first) is None)
        frozen = copy.cache.claim_of(held).follower
        await copy.prove("t")
        assert copy.copy.claim("t", two) is copy.copy.claim("t") is not before
        assert copy.copy.claim_of_list("t") is None
        assert copy.held("t", 1) == "nothing", "a row in somebody's hand claims no more"
        assert copy.cache.claim_of(held).follower is frozen
        assert frozen["t"].as_of <= copy.copy.claim("t").as_of  # type: ignore[union-attr]
        assert any("dead-lettered" in reason for reason in copy.copy.reasons("t", first))
        assert copy.copy.reasons("t", two) == ()
        pg.run("UPDATE t SET a = 'whole' WHERE id = 1")
        await until(lambda: copy.copy.claim("t", first) is not None)
        assert copy.copy.claim_of_list("t") is not None


PRICED = EntitySpec(
    "erp",
    "t",
    "t",
    ("id",),
    (FieldSpec("id", ("id",)), FieldSpec("a", ("a",), FieldType("decimal", 10, 2))),
)


async def check_failed_row(capture: CaptureHarness) -> None:
    """A row that fails in capture is in doubt from before the next proof on, until it is good again."""
    capture.run(TABLE, "INSERT INTO t VALUES (1, '1.00'), (2, '2.00')")
    await capture.declare(PRICED)
    async with capture.capturing(), following(capture) as copy:
        await copy.prove("t")
        await copy.read("t", 1, 2)
        capture.run("UPDATE t SET a = 'none' WHERE id = 1")
        await copy.prove("t")
        assert copy.copy.claim("t", copy.key("t", 1)) is None
        assert copy.held("t", 1) == "nothing"
        assert copy.copy.claim("t", copy.key("t", 2)) is not None
        capture.run("UPDATE t SET a = '3.00' WHERE id = 1")
        await copy.prove("t")
        assert copy.copy.claim("t", copy.key("t", 1)) is not None


async def test_a_row_that_fails_in_capture_of_the_journal_is_in_doubt(
    journal: CaptureHarness,
) -> None:
    await check_failed_row(journal)


async def test_a_row_that_fails_in_capture_of_postgresql_is_in_doubt(pg: CaptureHarness) -> None:
    await check_failed_row(pg)


async def test_a_dead_letter_without_a_key_is_a_doubt_of_its_entity_until_a_comparison(
    journal: CaptureHarness,
) -> None:
    async with proved(journal) as copy:
        await send_letter(copy)
        await until(lambda: copy.copy.claim("t") is None)
        assert copy.held("t", 1) == "nothing"
        await compare(copy)
        await until(lambda: copy.copy.claim("t") is not None)
        await copy.prove("t")


async def compare(copy: CopyHarness) -> None:
    """Have the table compared with the log."""
    from bridge.capture import control

    request = control.request("erp", "snapshot", "t", reconcile=True)
    await control.send(copy.log, "acme", request)


@pytest.mark.parametrize(
    "letter",
    [
        {"source": "erp.other"},
        {"source": "crm.t"},
        {"source": "watcher", "kind": "event"},
        {"kind": "command"},
    ],
)
async def test_letters_about_something_else_are_no_doubt(
    journal: CaptureHarness, letter: dict[str, str]
) -> None:
    async with proved(journal) as copy:
        await send_letter(copy, **letter)
        await copy.prove("t")
        assert copy.copy.reasons("t") == ()
        assert copy.held("t", 1) == {"id": 1, "a": "old"}


async def test_junk_in_any_topic_never_ends_the_follower(journal: CaptureHarness) -> None:
    async with proved(journal) as copy:
        header = await key_header(copy)
        key = header + copy.key("t", 1)
        await copy.log.append(CHANGES, [Entry(key, b"junk"), Entry(key, None)])
        await copy.log.append(DEAD, [Entry(None, b"junk"), Entry(b"k", None), Entry(b"k", b"junk")])
        await copy.log.append(
            POSITIONS,
            [Entry(b"erp/barrier", b"junk"), Entry(b"crm", b"junk"), Entry(None, b"junk")],
        )
        await copy.log.append(STATUS, [Entry(b"erp", b"junk"), Entry(b"erp", None)])
        await copy.prove("t")
        assert copy.copy.claim("t", copy.key("t", 1)) is None
        assert copy.copy.claim("t", copy.key("t", 2)) is not None
        assert {record.topic for record, _ in copy.records} == {CHANGES, DEAD, POSITIONS, STATUS}
        journal.run("UPDATE t SET a = 'whole' WHERE id = 1")
        await until(lambda: copy.copy.claim("t", copy.key("t", 1)) is not None)
        assert copy.copy.reasons("t") == ()


@pytest.mark.parametrize("key", [None, b"junk", b"\x00\x00\x00\x00\x63k"])
async def test_a_change_without_a_key_of_its_entity_is_a_doubt_of_the_entity(
    journal: CaptureHarness, key: bytes | None
) -> None:
    async with proved(journal) as copy:
        await copy.log.append(CHANGES, [Entry(key, b"junk")])
        await until(lambda: copy.copy.claim("t") is None)
        assert copy.held("t", 1) == "nothing"
        if key != b"junk":
            # With that one no comparison is complete: capture can't tell whose key it is.
            await compare(copy)
            await copy.prove("t")


async def test_a_letter_that_cannot_be_read_is_one_of_the_entity_in_its_key(
    journal: CaptureHarness,
) -> None:
    async with proved(journal) as copy:
        letter = DeadLetter(kind="row", source="erp.t", reason="r", at=datetime.now(UTC))
        entry = copy.codec.entry("dead", "erp.t", letter)
        await copy.log.append(DEAD, [Entry(entry.key, b"of another version")])
        await until(lambda: copy.copy.claim("t") is None)
        assert copy.held("t", 1) == "nothing"


async def test_a_checkpoint_that_cannot_be_read_is_a_doubt_of_everything_until_the_next(
    journal: CaptureHarness,
) -> None:
    async with proved(journal) as copy:
        following_now = copy.copy._following
        assert following_now is not None
        junk = Record(POSITIONS, 0, 10**6, 0, b"erp", b'{"format": 99}', ())
        # Without a wait in between, in which the next record might be read.
        following_now.applied.apply(TopicPartition(POSITIONS, 0), [junk])
        following_now.applied.reach({})
        assert copy.copy.claim("t") is None
        assert any("format 99" in reason for reason in copy.copy.reasons("t"))
        await until(lambda: copy.copy.claim("t") is not None)
        assert copy.held("t", 1) == "nothing"
        await copy.prove("t")


async def test_what_was_removed_unread_is_held_no_longer(journal: CaptureHarness) -> None:
    async with proved(journal) as copy:
        following_now = copy.copy._following
        assert following_now is not None
        claim = copy.copy.claim("t")
        assert claim is not None
        partition = next(each for each in following_now._partitions if each.topic == CHANGES)
        at = following_now._follower.positions[partition]
        following_now.applied.doubt(partition, Gap(at, at))
        assert copy.held("t", 1) == "nothing"
        unproved = copy.copy.claim("t")
        assert unproved is not None
        assert unproved.as_of < claim.as_of
        # The partition may stay quiet from here on.
        await copy.prove("t")


async def test_an_entity_that_cannot_be_captured_now_is_in_doubt_until_it_can(
    journal: CaptureHarness,
) -> None:
    async with proved(journal) as copy:
        following_now = copy.copy._following
        assert following_now is not None
        status = SourceStatus("erp", "streaming", 1, 1, troubles={"t": "its table is locked"})
        for troubled in (status, replace(status, troubles={})):
            record = Record(STATUS, 0, 10**6, 0, b"erp", status_record.dump(troubled), ())
            following_now.applied.apply(TopicPartition(STATUS, 0), [record])
            following_now.applied.reach({})
            reasons = copy.copy.reasons("t")
            assert any("locked" in reason for reason in reasons) is bool(troubled.troubles)
            assert (copy.copy.claim("t") is None) is bool(troubled.troubles)
            assert copy.held("t", 1) == ({"id": 1, "a": "old"} if troubled.troubles else "nothing")


async def test_who_waits_for_an_entity_that_falls_into_doubt_is_let_go_at_once(
    journal: CaptureHarness,
) -> None:
    async with proved(journal) as copy:
        following_now = copy.copy._following
        assert following_now is not None
        tracker = following_now._tracker
        waiting = asyncio.create_task(copy.copy.wait("t", time.monotonic() + 3600))
        cancelled = asyncio.create_task(copy.copy.wait("t", time.monotonic() + 3600))
        await asyncio.sleep(0)
        status = SourceStatus("erp", "streaming", 1, 1, troubles={"t": "its table is locked"})
        record = Record(STATUS, 0, 10**6, 0, b"erp", status_record.dump(status), ())
        following_now.applied.apply(TopicPartition(STATUS, 0), [record])
        following_now.applied.reach({})
        assert following_now.waits._shared == {}
        cancelled.cancel()
        await asyncio.wait_for(waiting, 60)
        assert tracker._waits == set(), "nobody is waited for any more"


async def test_a_wait_that_is_over_or_cancelled_asks_for_nothing_more(
    journal: CaptureHarness,
) -> None:
    async with proved(journal) as copy:
        following_now = copy.copy._following
        assert following_now is not None
        cancelled = asyncio.create_task(copy.copy.wait("t", time.monotonic() + 3600))
        await asyncio.sleep(0)
        assert len(following_now._tracker._waits) == 1
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert following_now._tracker._waits == set()
        await copy.copy.wait("t", time.monotonic() - 1)
        assert following_now._tracker._waits == set()


async def test_another_server_empties_the_cache_until_a_barrier_was_passed(
    pg: CaptureHarness,
) -> None:
    async with proved(pg) as copy:
        copy.copy.note_server("another/1")
        assert copy.held("t", 1) == "nothing"
        assert copy.copy.claim("t") is None
        assert copy.copy.reasons("t") == ("its reads are answered by another server",)
        begun = copy.begin()
        await until(lambda: copy.copy.claim("t") is not None)
        assert copy.copy.reasons("t") == ()
        # A read that was sent before the barrier came back isn't stored.
        rows = await copy.fetch("t", 1)
        rows.server = "another/1"
        copy.fill("t", (1,), rows, begun)
        assert copy.held("t", 1) == "nothing"


async def test_the_first_answer_keeps_the_fences_of_what_was_applied(pg: CaptureHarness) -> None:
    pg.run(TABLE, ROWS)
    await pg.declare("t")
    async with pg.capturing(), following(pg) as copy:
        await copy.prove("t")
        pg.run("UPDATE t SET a = 'new' WHERE id = 1")
        await copy.prove("t")
        assert copy.cache.fences.key_count >= 1
        copy.copy.note_server("any")
        assert copy.cache.fences.key_count >= 1


async def test_a_read_that_was_sent_before_the_follower_began_is_not_stored(
    pg: CaptureHarness,
) -> None:
    pg.run(TABLE, ROWS)
    await pg.declare("t")
    async with pg.capturing(), following(pg) as copy:
        read = copy.begin()
        rows = await copy.fetch("t", 1)
        await copy.prove("t")
        copy.fill("t", (1,), rows, read)
        assert copy.held("t", 1) == "nothing"


async def test_when_too_many_transactions_were_applied_a_read_is_asked_for(
    pg: CaptureHarness,
) -> None:
    probes = 0
    async with proved(pg, bounds=CacheBounds(transactions=RECORDS_PER_READ)) as copy:

        async def probe() -> None:
            nonlocal probes
            probes += 1
            if probes == 1:
                raise RetryLater("the system is away")
            await copy.read("t", 1)

        copy.copy.probe = probe
        for first in range(10, 10 + 2 * RECORDS_PER_READ, 100):
            pg.run(*[f"INSERT INTO t VALUES ({first + n}, 'x')" for n in range(100)])
        await copy.prove("t")
        assert probes >= 2
        assert copy.held("t", 1) == {"id": 1, "a": "old"}


async def test_a_copy_that_is_run_again_holds_and_claims_nothing_of_before(
    journal: CaptureHarness,
) -> None:
    async with proved(journal) as copy:
        journal_copy = copy.copy
        following_now = journal_copy._following
        assert following_now is not None
        waiting = asyncio.create_task(journal_copy.wait("t", time.monotonic() + 60))
        await asyncio.sleep(0)
        following_now._ended.set()
        await until(lambda: journal_copy._following not in (None, following_now))
        assert copy.held("t", 1) == "nothing"
        await asyncio.wait_for(waiting, 60)
        await copy.prove("t")


async def test_nobody_waits_long_for_a_capture_that_is_silent(journal: CaptureHarness) -> None:
    async with proved(journal) as copy:
        following_now = copy.copy._following
        assert following_now is not None
        now = time.monotonic()
        following_now._outstanding_since = now
        following_now._heard_at_begin = following_now.applied.heard
        assert following_now.can_prove(now + SILENT_AFTER_S / 2)
        assert not following_now.can_prove(now + SILENT_AFTER_S)
        following_now.applied.heard += 1
        assert following_now.can_prove(now + SILENT_AFTER_S)


async def test_who_may_not_ask_for_barriers_reads_live_without_waiting(
    journal: CaptureHarness,
) -> None:
    async def ask(_: str) -> None:
        raise ConfigurationError("no right to write _acme.control")

    journal.run(TABLE, ROWS)
    await journal.declare("t")
    async with journal.capturing(), following(journal, ask=ask) as copy:
        await until(lambda: copy.copy.has_barriers)
        waiting = asyncio.create_task(copy.copy.wait("t", time.monotonic() + 1))
        await until(lambda: not copy.copy.has_barriers)
        await waiting
        status = copy.copy.status(time.monotonic())
        assert status.troubles == ("barriers: no right to write _acme.control",)
        assert copy.outages == []
