"""Topics that somebody deletes: what they held is lost, and capture doesn't go on as if it weren't."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from bridge.capture import control
from bridge.capture.deleted_topics import check_positions
from bridge.log.embedded.schema import SHIFT
from bridge.log.kafka import from_url
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.model.errors import ConfigurationError
from bridge.observe import EntityPaused
from tests.capture.databases import SqliteDatabase
from tests.capture.harness import QUICK, CaptureHarness, open_harness, until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

BEFORE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
    "CREATE TABLE u (id INTEGER PRIMARY KEY, a)",
    "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
)
Delete = Callable[[str], Awaitable[None]]


def deleting(log: str, folder: Path, kafka: Kafka) -> Delete:
    """A way to delete a topic by hand."""

    async def in_kafka(topic: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([topic])
        finally:
            await admin.close()

    async def in_file(topic: str) -> None:
        with closing(sqlite3.connect(folder / "bridge.db")) as connection, connection:
            ids = connection.execute("SELECT id FROM partition WHERE topic = ?", (topic,))
            for (number,) in ids.fetchall():
                bounds = (number << SHIFT, (number + 1) << SHIFT)
                connection.execute("DELETE FROM batch WHERE id >= ? AND id < ?", bounds)
            connection.execute("DELETE FROM partition WHERE topic = ?", (topic,))
            connection.execute("DELETE FROM topic WHERE name = ?", (topic,))

    return in_kafka if log == "kafka" else in_file


@asynccontextmanager
async def on(log: str, folder: Path, kafka: Kafka) -> AsyncIterator[CaptureHarness]:
    """Two tables, one of which has rows, and a log of either kind."""
    async with AsyncExitStack() as stack:
        harness = await stack.enter_async_context(
            open_harness(folder, SqliteDatabase(folder / "erp.db"))
        )
        if log == "kafka":
            harness.log, harness.bridge = (
                from_url(f"kafka://{kafka.bootstrap}"),
                f"a{uuid.uuid4().hex[:8]}",
            )
            await harness.log.open()
            stack.push_async_callback(harness.log.close)
            harness.registry = EmbeddedRegistry(harness.log, harness.bridge)
            await harness.registry.open()
            stack.push_async_callback(harness.registry.close)
        harness.run(*BEFORE)
        await harness.declare("t", "u")
        harness.limits = replace(QUICK, topics=0.1)
        yield harness


async def comes_back(harness: CaptureHarness) -> None:
    """The rows, once somebody asks for it."""
    request = control.request("erp", "resume", "t")
    await control.send(harness.log, harness.bridge, request)
    await harness.equal("t", "u")


@pytest.mark.parametrize("log", ["embedded", "kafka"])
async def test_a_change_topic_deleted_meanwhile_pauses_its_entity(
    log: str, tmp_path: Path, kafka: Kafka
) -> None:
    """Made again in silence, it would hold the changes to come alone, and nobody would know."""
    async with on(log, tmp_path, kafka) as harness:
        async with harness.capturing():
            await harness.equal("t")
        topic = f"{harness.bridge}.erp.t"
        await deleting(log, tmp_path, kafka)(topic)
        async with harness.capturing() as capture:
            [pause] = capture.stats.progress.paused.values()
            assert f"topic {topic} was deleted" in pause.reason
            assert "bridgectl snapshot erp.t --resume" in pause.reason
            assert [n.entity for n in harness.notices if isinstance(n, EntityPaused)] == ["erp.t"]
            harness.run("INSERT INTO t VALUES (3, 'z')", "INSERT INTO u VALUES (1, 'x')")
            await harness.equal("u")
            await comes_back(harness)


async def test_a_topic_that_goes_with_its_entity_is_made_again_with_it(
    tmp_path: Path, kafka: Kafka
) -> None:
    """Whoever takes an entity out may delete its topic: put back, all of it is read again."""
    async with on("embedded", tmp_path, kafka) as harness:
        both = harness.entities
        async with harness.capturing("one"):
            await harness.equal("t", "u")
        harness.entities = both[1:]
        async with harness.capturing("two"):
            harness.run("INSERT INTO u VALUES (1, 'x')", "DELETE FROM t WHERE id = 1")
            await harness.equal("u")
        await deleting("embedded", tmp_path, kafka)(f"{harness.bridge}.erp.t")
        harness.entities = both
        async with harness.capturing("three") as capture:
            await harness.equal("t", "u")
            assert not capture.stats.progress.paused


async def test_a_change_topic_deleted_under_a_running_capture_pauses_its_entity(
    tmp_path: Path, kafka: Kafka
) -> None:
    async with on("kafka", tmp_path, kafka) as harness, harness.capturing() as capture:
        await harness.equal("t")
        await deleting("kafka", tmp_path, kafka)(f"{harness.bridge}.erp.t")
        harness.run("INSERT INTO t VALUES (3, 'z')", "INSERT INTO u VALUES (1, 'x')")
        await until(lambda: capture.stats.progress.paused)
        assert "was deleted" in capture.stats.progress.paused["t"].reason
        await harness.equal("u")
        await comes_back(harness)


async def test_requests_are_heard_after_their_topic_was_deleted(
    tmp_path: Path, kafka: Kafka
) -> None:
    """Nobody heard them until as many had come as there were before."""
    async with on("embedded", tmp_path, kafka) as harness:
        requests = [control.request("erp", "snapshot", name) for name in ("t", "u", "t")]
        async with harness.capturing("one") as capture:
            await harness.equal("t", "u")
            for each in requests[:2]:
                await control.send(harness.log, harness.bridge, each)
            await until(lambda: capture.stats.progress.control == 2)
        await deleting("embedded", tmp_path, kafka)(f"_{harness.bridge}.control")
        async with harness.capturing("two") as capture:
            await control.send(harness.log, harness.bridge, requests[2])
            await until(lambda: requests[2].id in {r.id for r in capture.stats.progress.results})


def test_without_its_positions_a_running_capture_ends() -> None:
    """It alone knew where it was; another one must not begin at that as if nothing had been."""
    check_positions(["_acme.positions"], {"_acme.positions", "acme.dead"})
    with pytest.raises(ConfigurationError, match=r"_acme\.positions were deleted"):
        check_positions(["_acme.positions"], {"acme.dead"})
