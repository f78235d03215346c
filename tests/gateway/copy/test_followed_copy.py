"""The copy of a system that is really captured: what it holds, what it claims and what it doubts."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.log.registry.embedded import EmbeddedRegistry
from tests.capture.databases import SqliteDatabase
from tests.capture.harness import CaptureHarness
from tests.gateway.copy.harness import CopyHarness, following
from tests.waiting import until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

TABLE = "CREATE TABLE t (id integer PRIMARY KEY, a varchar(20))"


async def captured(harness: CaptureHarness) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'old'), (2, 'two'), (3, 'three')")
    await harness.declare("t")


async def check_changes(capture: CaptureHarness) -> None:
    """A fill, changes of it, and claims that barriers prove."""
    await captured(capture)
    async with capture.capturing(), following(capture) as copy:
        await copy.prove("t")
        assert await copy.read("t", 1, 2, 9) == {
            1: {"id": 1, "a": "old"},
            2: {"id": 2, "a": "two"},
            9: None,
        }
        assert copy.held("t", 1) == {"id": 1, "a": "old"}
        assert copy.held("t", 9) is None
        before = copy.copy.claim("t", copy.key("t", 1))
        assert before is not None
        capture.run("UPDATE t SET a = 'new' WHERE id = 1", "DELETE FROM t WHERE id = 2")
        capture.run("INSERT INTO t VALUES (9, 'nine')")
        asked_at = await copy.prove("t")
        assert copy.held("t", 1) == {"id": 1, "a": "new"}
        assert copy.held("t", 2) is None
        assert copy.held("t", 9) == {"id": 9, "a": "nine"}
        after = copy.copy.claim("t", copy.key("t", 1))
        assert after is not None
        assert before.as_of < asked_at <= after.as_of <= time.monotonic()
        assert after is copy.copy.entity_claim("t").claim, "one object until it changes"
        assert copy.cache.freshness == {"t": after}


async def test_the_journal_keeps_what_is_held_right(journal: CaptureHarness) -> None:
    await check_changes(journal)


async def test_postgresql_keeps_what_is_held_right(pg: CaptureHarness) -> None:
    await check_changes(pg)


async def test_a_log_of_kafka_keeps_what_is_held_right(tmp_path: Path, kafka: Kafka) -> None:
    from bridge.log.kafka import from_url

    log, bridge = from_url(f"kafka://{kafka.bootstrap}"), f"acme{uuid.uuid4().hex[:8]}"
    await log.open()
    registry = EmbeddedRegistry(log, bridge)
    await registry.open()
    database = SqliteDatabase(tmp_path / "erp.db")
    try:
        await check_changes(CaptureHarness(database, log, registry, bridge=bridge))
    finally:
        database.close()
        await registry.close()
        await log.close()


async def test_only_barriers_advance_claims(journal: CaptureHarness) -> None:
    await captured(journal)
    async with journal.capturing(), following(journal) as copy:
        await copy.prove("t")
        claim = copy.copy.claim("t")
        begun = copy.copy.status(time.monotonic()).barriers
        applied = copy.copy.status(time.monotonic()).applied
        journal.run(*[f"UPDATE t SET a = '{number}' WHERE id = 1" for number in range(20)])
        await until(lambda: copy.copy.status(time.monotonic()).applied >= applied + 20)
        assert copy.copy.claim("t") is claim
        assert copy.copy.status(time.monotonic()).barriers == begun, "nobody waits"


async def test_without_capture_nothing_is_proved_and_who_waits_is_let_go(
    journal: CaptureHarness,
) -> None:
    await captured(journal)
    async with following(journal) as copy:
        async with journal.capturing():
            await copy.prove("t")
        claim = copy.copy.claim("t")
        assert claim is not None
        began = time.monotonic()
        await asyncio.gather(*[copy.copy.wait("t", began + 0.2) for _ in range(50)])
        assert time.monotonic() >= began + 0.2
        assert copy.copy.claim("t") is claim
        await copy.copy.wait("t", time.monotonic() + 1.0)
        assert not copy.copy.has_barriers, "nobody waits in vain"
        async with journal.capturing("two"):
            await until(lambda: copy.copy.has_barriers)
            await copy.prove("t")


async def test_a_truncate_is_a_doubt_until_the_table_was_compared(pg: CaptureHarness) -> None:
    await captured(pg)
    async with following(pg) as copy:
        async with pg.capturing():
            await copy.prove("t")
            await copy.read("t", 1)
        pg.run("TRUNCATE t", "INSERT INTO t VALUES (5, 'five')")
        seen: list[tuple[str, ...]] = []
        async with pg.capturing("two"):
            await until(lambda: note_doubts(copy, seen))
            await copy.prove("t")
        assert any("comparison" in reason for reasons in seen for reason in reasons)
        assert copy.held("t", 1) == "nothing"


def note_doubts(copy: CopyHarness, seen: list[tuple[str, ...]]) -> bool:
    """Whether doubts have come and gone."""
    reasons = copy.copy.reasons("t")
    if reasons:
        seen.append(reasons)
        assert copy.copy.claim("t") is None
        assert "t" not in copy.cache.freshness
    return bool(seen) and not reasons


@pytest.mark.parametrize("other", ["t2"])
async def test_an_entity_whose_topic_comes_later_is_followed_then(
    journal: CaptureHarness, other: str
) -> None:
    await captured(journal)
    async with following(journal) as copy, journal.capturing():
        await copy.prove("t")
        assert copy.copy.reasons("t") == ()
        with pytest.raises(KeyError):
            copy.copy.reasons(other)
