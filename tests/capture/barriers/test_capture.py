"""A barrier that somebody asks for comes back after everything that was committed before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.capture import control
from bridge.capture.barriers.record import BarrierRecord, barrier_key, load
from bridge.capture.checkpoint import store
from bridge.capture.checkpoint.store import read_range
from bridge.connector import Capabilities, Source, System
from bridge.log.port import Record, TopicPartition
from bridge.model.errors import RetryLater
from bridge.model.position import parse_position
from tests.capture.databases import BRIDGE
from tests.capture.harness import QUICK, CaptureHarness, open_harness, until
from tests.capture.polled_process import PolledStore

#: Nothing is checkpointed by itself, and a read waits until something comes.
IDLE = replace(QUICK, keep_alive=10_000.0, status=10_000.0, wait=10_000.0)
TABLE = "CREATE TABLE t (id integer PRIMARY KEY, a varchar(20))"


async def positions(harness: CaptureHarness) -> list[Record]:
    return await read_range(harness.log, TopicPartition(store.topic(BRIDGE).name, 0), 0)


async def answer(harness: CaptureHarness, name: str) -> BarrierRecord:
    """Ask for a barrier, and wait for the record that answers."""
    await control.send(harness.log, BRIDGE, control.barrier_request("erp", name))
    await until(lambda: has_answer(harness, name))
    return next(record for record in await barriers(harness) if name in record.answered)


async def has_answer(harness: CaptureHarness, name: str) -> bool:
    return any(name in record.answered for record in await barriers(harness))


async def barriers(harness: CaptureHarness) -> list[BarrierRecord]:
    return [
        load(record.value or b"", "erp")
        for record in await positions(harness)
        if record.key == barrier_key("erp")
    ]


async def checkpoints(harness: CaptureHarness) -> int:
    return len([record for record in await positions(harness) if record.key == b"erp"])


async def newest(harness: CaptureHarness) -> str:
    """The position of the newest change in the log."""
    changes = [record.change for record in await harness.records("t") if record.change]
    return max(str(change["position"]) for change in changes)


async def check_barriers(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    harness.limits = IDLE
    async with harness.capturing() as capture:
        for number in range(5):
            harness.run(f"INSERT INTO t VALUES ({number}, 'x')")
            record = await answer(harness, f"ask-{number}")
            assert sorted(await harness.state("t")) == list(range(number + 1))
            assert await newest(harness) <= record.position
        assert capture.stats.progress.control == 4, "requests before the last row are done with"
        before, progress = await checkpoints(harness), capture.stats.progress
        await answer(harness, "idle-1")
        await answer(harness, "idle-2")
        assert await checkpoints(harness) == before
        assert capture.stats.progress == progress, "it is what the log has"
    harness.run("INSERT INTO t VALUES (9, 'x')")
    async with harness.capturing("two"):
        await answer(harness, "again")
        assert 9 in await harness.state("t")


async def test_a_barrier_of_the_journal_comes_back_after_what_was_committed(
    harness: CaptureHarness,
) -> None:
    await check_barriers(harness)


async def test_a_barrier_of_postgresql_comes_back_after_what_was_committed(
    pg: CaptureHarness,
) -> None:
    await check_barriers(pg)


async def test_a_barrier_of_a_polled_source_comes_back_after_a_poll_that_began_later(
    tmp_path: Path,
) -> None:
    legacy = PolledStore(tmp_path / "erp.json", compare=0)
    async with open_harness(tmp_path, legacy) as harness:
        await harness.declare("t")
        async with harness.capturing() as capture:
            await until(lambda: not capture.stats.progress.jobs)
            for number in range(5):
                legacy.put({"id": number, "a": "x"})
                record = await answer(harness, f"ask-{number}")
                assert sorted(await harness.state("t")) == list(range(number + 1))
                # No number is counted for it, which a change could get after a restart.
                commits = [
                    parse_position(text).commit for text in (record.position, await newest(harness))
                ]
                assert commits[0] == commits[1]


class LockedSource:
    """Another source's, except that its first watermarks can't be written."""

    def __init__(self, source: Source, failures: int) -> None:
        self._source = source
        self.failures = failures
        self.open, self.read, self.ack = source.open, source.read, source.ack
        self.close = source.close

    async def write_watermark(self, name: str) -> None:
        if ".b" in name and self.failures:
            self.failures -= 1
            raise RetryLater("others hold the lock")
        await self._source.write_watermark(name)


class LockedConnector:
    """Opens such sources; all else is the journal's."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.opened: list[LockedSource] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def source(self, system: System) -> LockedSource:
        self.opened.append(LockedSource(await self._inner.source(system), 3))
        return self.opened[-1]


async def test_a_barrier_that_could_not_be_written_is_written_again_and_capture_goes_on(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    connector = LockedConnector(harness.database.connector)
    async with harness.capturing(connector=connector):
        await answer(harness, "a")
    assert [source.failures for source in connector.opened] == [0]


class BlindConnector(LockedConnector):
    """The journal without watermarks."""

    def capabilities(self) -> Capabilities:
        capabilities: Capabilities = self._inner.capabilities()
        return replace(capabilities, snapshot=False)


async def test_a_source_without_watermarks_is_never_asked_for_a_barrier(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    async with harness.capturing():
        """Its first snapshot."""
    await control.send(harness.log, BRIDGE, control.barrier_request("erp", "a"))
    connector = BlindConnector(harness.database.connector)
    async with harness.capturing("two", connector=connector):
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")
    assert await barriers(harness) == []
    assert [source.failures for source in connector.opened] == [3]


@pytest.mark.parametrize("system", ["erp", "crm"])
async def test_a_request_for_a_barrier_writes_no_checkpoint_of_any_system(
    harness: CaptureHarness, system: str
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    harness.limits = IDLE
    async with harness.capturing() as capture:
        await until(lambda: not capture.stats.progress.jobs)
        await answer(harness, "first")
        before = await checkpoints(harness)
        await control.send(harness.log, BRIDGE, control.barrier_request(system, "a"))
        await answer(harness, "last")
        assert await checkpoints(harness) == before
        assert capture.stats.reason == ""
