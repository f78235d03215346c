"""Random histories: whatever is done to the log, it shows what a list in memory shows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies

from bridge.closing import close_all
from bridge.kit.log.harness import LogHarness, from_beginning, read_all, topic
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, Producer, TopicPartition
from bridge.model.errors import Fenced

PARTITIONS = 2
Step = tuple[str, list[tuple[int, bytes, bytes | None]], int]


class _Abort(Exception):
    """Aborts a transaction."""


class ModelSuite(LogHarness):
    """Appends, commits, aborts, takeovers and restarts in any order."""

    async def test_random_histories_equal_the_model(self, under_test: LogUnderTest) -> None:
        """In a thread, because hypothesis drives its examples from outside of a loop."""
        await asyncio.to_thread(_explore, under_test)


def _explore(under_test: LogUnderTest) -> None:
    entries = strategies.lists(
        strategies.tuples(
            strategies.integers(0, PARTITIONS - 1),
            strategies.binary(max_size=3),
            strategies.none() | strategies.binary(max_size=20),
        ),
        max_size=5,
    )
    does = strategies.sampled_from(["append", "commit", "abort", "fenced", "reopen", "read"])
    steps = strategies.lists(
        strategies.tuples(does, entries, strategies.integers(1, 7)), max_size=12
    )

    @settings(
        max_examples=under_test.examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(steps)
    def histories(history: list[Step]) -> None:
        asyncio.run(_compare(under_test, history))

    histories()


async def _compare(under_test: LogUnderTest, history: Sequence[Step]) -> None:
    log = under_test.make()
    await log.open()
    run = _Run(under_test, log)
    try:
        await run.open()
        for does, entries, number in history:
            await run.step(does, [Entry(k, v, (), 5, p) for p, k, v in entries], number)
        await run.check()
    finally:
        await run.close()


class _Run:
    """One history on the log and in memory."""

    def __init__(self, under_test: LogUnderTest, log: Log) -> None:
        self.under_test = under_test
        self.log = log
        self.identity = under_test.name("model")
        self.group = under_test.name("model")
        self.model: dict[int, list[Any]] = {at: [] for at in range(PARTITIONS)}
        self.committed: int | None = None
        self.seen: dict[int, list[Any]] = {at: [] for at in range(PARTITIONS)}
        self.old: list[Producer] = []

    async def open(self) -> None:
        self.name = await topic(self.log, self.under_test.name("model"), PARTITIONS)
        self.producer = await self.log.producer(self.identity)
        self.reader = await self.log.reader(from_beginning(self.name, PARTITIONS))

    async def step(self, does: str, entries: list[Entry], number: int) -> None:
        if does == "append":
            await self.log.append(self.name, entries)
            self._keep(entries)
        elif does == "commit":
            await self._transact(self.producer, entries, number)
            self._keep(entries)
            self.committed = number
        elif does == "abort":
            with contextlib.suppress(_Abort):
                await self._transact(self.producer, entries, number, abort=True)
        elif does == "fenced":
            old, self.producer = self.producer, await self.log.producer(self.identity)
            self.old.append(old)
            try:
                await self._transact(old, entries, number)
            except Fenced:
                pass
            else:
                raise AssertionError("a fenced producer committed")
        elif does == "reopen":
            await self._reopen()
        else:
            for record in await self.reader.read(number, 0.0):
                self.seen[record.partition].append((record.key, record.value))

    def _keep(self, entries: list[Entry]) -> None:
        for entry in entries:
            assert entry.partition is not None
            self.model[entry.partition].append((entry.key, entry.value))

    async def _transact(
        self, producer: Producer, entries: list[Entry], number: int, *, abort: bool = False
    ) -> None:
        async with producer.transaction() as transaction:
            await transaction.append(self.name, entries)
            transaction.commit_offsets(self.group, {TopicPartition(self.name, 0): number})
            if abort:
                raise _Abort

    async def _reopen(self) -> None:
        positions = {at: self.reader.position(at) for at in from_beginning(self.name, PARTITIONS)}
        await self.close()
        self.old = []
        self.log = self.under_test.make()
        await self.log.open()
        self.producer = await self.log.producer(self.identity)
        self.reader = await self.log.reader(positions)

    async def check(self) -> None:
        partition = TopicPartition(self.name, 0)
        records = await read_all(self.log, from_beginning(self.name, PARTITIONS))
        for at in range(PARTITIONS):
            mine = [(record.key, record.value) for record in records if record.partition == at]
            assert mine == self.model[at]
            assert self.seen[at] == self.model[at][: len(self.seen[at])]
        assert await self.log.committed(self.group, [partition]) == {partition: self.committed}

    async def close(self) -> None:
        producers = [producer.close for producer in (*self.old, self.producer)]
        await close_all(self.reader.close, *producers, self.log.close)
