"""A legacy program's database, and what the tests read out of raw rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from bridge.connector import Batch, Change, Shape, System, TableUse
from bridge.plan.convert import decoder
from bridge.plan.opcodes import AS_BINARY, AS_TEXT
from bridge.plan.steps import MISSING, Wire
from connectors.postgres.capture.source import PostgresSource
from connectors.postgres.options import PostgresOptions
from tests.waiting import WAIT_TIMEOUT_S

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

_FORMS = {0x62: AS_BINARY, 0x74: AS_TEXT}


class PostgresErp:
    """The program's own connection; it knows nothing of the bridge."""

    def __init__(self, server: Postgres, url: str) -> None:
        self.server = server
        self.url = url
        self.db = psycopg.connect(url, autocommit=True)
        self.slot = f"slot_{url.rpartition('/')[2]}"

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.db.execute(query, values or None).fetchall()

    def system(
        self,
        *tables: str | TableUse,
        url: str | None = None,
        commands: bool = False,
        **options: Any,
    ) -> System:
        uses = tuple(TableUse(table) if isinstance(table, str) else table for table in tables)
        return System(
            bridge="acme",
            name="erp",
            url=url or self.url,
            shown_url="postgresql://***@erp-db/erp",
            options=PostgresOptions(slot=self.slot, **options),
            tables=uses,
            commands=commands,
        )

    def publish(self, *tables: str) -> None:
        self.run(
            f"CREATE PUBLICATION bridge FOR TABLE {', '.join(tables)} "
            "WITH (publish_via_partition_root = true)"
        )

    async def idle(self) -> None:
        """Wait until the server has noticed that nobody reads the slot."""
        async with asyncio.timeout(60):
            while self.rows(
                "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", self.slot
            ):
                await asyncio.sleep(0.01)

    def confirmed(self) -> str:
        [[position]] = self.rows(
            "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s",
            self.slot,
        )
        return str(position)


@asynccontextmanager
async def open_source(
    system: System, after: bytes | None = None
) -> AsyncIterator[tuple[PostgresSource, bytes]]:
    """A source that is open, and where it begins."""
    source = PostgresSource(system, time.time)
    try:
        yield source, await source.open(after)
    finally:
        await source.close()


async def collect(source: PostgresSource, count: int, limit: int = 1000) -> list[Change]:
    """Read until so many changes came."""
    changes: list[Change] = []
    while len(changes) < count:
        batch = await source.read(min(limit, count - len(changes)), WAIT_TIMEOUT_S)
        assert batch.changes, (
            f"only {len(changes)} of {count} changes came within {WAIT_TIMEOUT_S:g} s"
        )
        changes += batch.changes
    return changes


async def read_to(source: PostgresSource, name: str, limit: int = 1000) -> list[Batch]:
    """Write a watermark and read until it comes back."""
    await source.write_watermark(name)
    batches: list[Batch] = []
    while True:
        batch = await source.read(limit, 10.0)
        batches.append(batch)
        if any(mark.name == name for mark in batch.watermarks):
            return batches
        assert batch.changes or len(batches) < 100, f"the watermark {name!r} did not come back"


async def read_on(source: PostgresSource, wait: float) -> None:
    """Read until it raises."""
    while True:
        await source.read(10, wait)


def changes_of(batches: Iterable[Batch]) -> list[Change]:
    return [change for batch in batches for change in batch.changes]


def row(shape: Shape, raw: Any) -> dict[str, Any] | None:
    """A raw row as Python values by column; MISSING for what was not sent."""
    if raw is None:
        return None
    cells = copy_cells(raw) if shape.wire is Wire.PGCOPY else output_cells(raw)
    assert len(cells) == len(shape.columns)
    return {
        column.name: cell if not isinstance(cell, tuple) else decoder(column.wire)(*cell)
        for column, cell in zip(shape.columns, cells, strict=True)
    }


def decoded_change(change: Change) -> tuple[int, dict[str, Any] | None, dict[str, Any] | None]:
    """Operation, old row and new row."""
    return change.op, row(change.shape, change.old), row(change.shape, change.new)


def output_cells(raw: bytes) -> Sequence[Any]:
    cells: list[Any] = []
    at = 2
    for _ in range(int.from_bytes(raw[:2], "big")):
        kind = raw[at]
        at += 1
        if kind in _FORMS:
            size = int.from_bytes(raw[at : at + 4], "big")
            cells.append((_FORMS[kind], raw[at + 4 : at + 4 + size]))
            at += 4 + size
        else:
            cells.append(None if kind == 0x6E else MISSING)
    return cells


def copy_cells(raw: bytes) -> Sequence[Any]:
    cells: list[Any] = []
    at = 2
    for _ in range(int.from_bytes(raw[:2], "big")):
        size = int.from_bytes(raw[at : at + 4], "big", signed=True)
        cells.append(None if size < 0 else (AS_BINARY, raw[at + 4 : at + 4 + size]))
        at += 4 + max(size, 0)
    return cells
