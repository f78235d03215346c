"""Transactions that reads have to show are forgotten once they do, whichever table was read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from bridge.capture.contract import CaptureLimits
from bridge.capture.snapshot.chunks import ChunkReader
from bridge.capture.snapshot.visibility import MAX_TRANSACTIONS, PROBE_ABOVE_TRANSACTIONS
from bridge.connector import Capabilities, Change, Chunk, Shape, SourceTransaction
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.plan.steps import Wire

SHAPES = {name: Shape(name, (), Wire.PYTHON) for name in ("t", "closed")}


class SeesEverything:
    """A read that showed everything."""

    def contains(self, transaction: int) -> bool:
        return transaction > 0

    def unseen(self) -> tuple[int, ...]:
        return ()


@dataclass
class ReadableTables:
    """A connector and its Snapshot. The table `closed` may not be read."""

    readable: Sequence[str] = ("t",)
    error: Exception | None = None
    queries: list[str] = field(default_factory=list)

    def capabilities(self) -> Capabilities:
        return Capabilities(snapshot=True, visibility=True)

    async def snapshot(self, _system: Any) -> ReadableTables:
        return self

    async def chunk(self, table: str, _where: Any, _after: Any, _limit: int) -> Chunk:
        self.queries.append(table)
        if self.error is not None:
            raise self.error
        if table not in self.readable:
            raise ConfigurationError(f"permission denied for table {table}")
        return Chunk(SHAPES[table], [], None, SeesEverything())

    async def close(self) -> None:
        return


def snapshots(tables: ReadableTables) -> Any:
    deps: Any = SimpleNamespace(
        connector=tables, system=None, limits=CaptureLimits(rows=10), monotonic=lambda: 0.0
    )
    source: Any = None
    return ChunkReader(deps, source, "here")


def stream(into: ChunkReader, table: str, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        transaction = SourceTransaction(str(number), number, None, number)
        into.note_streamed(table, [Change(SHAPES[table], 1, None, False, None, 0, transaction)])


async def prove(taken: ChunkReader) -> None:
    """Read, and take what was read."""
    await taken.probe_visibility()
    await asyncio.sleep(0)
    await taken.probe_visibility()


async def test_a_table_that_may_not_be_read_neither_ends_capture_nor_fills_memory() -> None:
    tables = ReadableTables(readable=())
    taken = snapshots(tables)
    for turn in range(3):
        stream(taken, "closed", PROBE_ABOVE_TRANSACTIONS, first=1 + turn * PROBE_ABOVE_TRANSACTIONS)
        stream(taken, "t", 1)
        await prove(taken)
    assert tables.queries
    assert taken.unseen_transactions <= PROBE_ABOVE_TRANSACTIONS + 1
    await taken.close()


async def test_what_one_table_shows_is_proven_for_all() -> None:
    tables = ReadableTables()
    taken = snapshots(tables)
    stream(taken, "closed", PROBE_ABOVE_TRANSACTIONS + 1)
    stream(taken, "t", 1)
    await prove(taken)
    assert taken.unseen_transactions == 0
    await taken.close()


async def test_tables_that_cannot_be_read_just_now_do_not_fill_memory() -> None:
    tables = ReadableTables(error=RetryLater("too many connections"))
    taken = snapshots(tables)
    for turn in range(20):
        stream(taken, "t", PROBE_ABOVE_TRANSACTIONS, first=1 + turn * PROBE_ABOVE_TRANSACTIONS)
        await prove(taken)
    assert tables.queries
    assert taken.unseen_transactions <= MAX_TRANSACTIONS
    await taken.close()
