"""The connector to `store`: polls by change time, with an overlap that remembers what it told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr

from bridge.connector import (
    CREATE,
    UPDATE,
    Ask,
    Batch,
    Capabilities,
    Change,
    Checkpoint,
    Chunk,
    Column,
    Condition,
    Finding,
    Reader,
    ReaderFeatures,
    Rows,
    Shape,
    Snapshot,
    Source,
    SourceTransaction,
    Stale,
    System,
    Watermark,
    Writer,
    refuse_unsupported,
    unsupported,
)
from bridge.model.errors import ConfigurationError, Rejected, Unsupported
from bridge.model.types import parse_type
from bridge.plan.steps import MISSING, Wire
from tests.connectors.polled.store import MODIFIED_COLUMN, JsonStore, StoreTable

OVERLAP_MICROS = 200_000
POLL_INTERVAL_S = 0.01


class PolledOptions(BaseModel):
    """Seconds between two comparisons of keys; 0: deletes are never found."""

    model_config = ConfigDict(extra="forbid")
    compare: float = 0.3
    max_keys: int = 25


class PolledLogin(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: SecretStr


def _options(system: System) -> PolledOptions:
    return PolledOptions.model_validate(system.options.model_dump())


def store_of(system: System) -> JsonStore:
    path = Path(system.url.removeprefix("polled://"))
    if not path.exists():
        raise ConfigurationError(f"system {system.name!r}: there is no file {path}")
    return JsonStore(path)


def table_of(system: System, name: str) -> StoreTable:
    table = store_of(system).tables().get(name)
    if table is None:
        raise ConfigurationError(f"table {name!r} is not in {system.shown_url}")
    return table


def shape_of(name: str, table: StoreTable) -> Shape:
    columns = [
        Column(column, kind, parse_type(kind), "python", key=column == table.key)
        for column, kind in (table.columns | {MODIFIED_COLUMN: "integer"}).items()
    ]
    return Shape(name, tuple(columns), Wire.PYTHON)


def raw(shape: Shape, row: Mapping[str, Any], only: str = "") -> tuple[Any, ...]:
    """The row's values, or those of one column."""
    return tuple(
        MISSING if only and column.name != only else _value(column, row.get(column.name))
        for column in shape.columns
    )


def _value(column: Column, value: Any) -> Any:
    return Decimal(value) if value is not None and column.native.startswith("decimal") else value


class PollingSource:
    """Rows changed since `since`, less the overlap, and less what was told of it: `told`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._store = store_of(system)
        self._shapes: dict[str, Shape] = {}
        self._since: dict[str, int] = {}
        self._emitted: dict[str, dict[str, int]] = {}
        self._compared = 0.0
        self._watermarks: list[str] = []
        self._polls = self._complete_polls = 0

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        tables = self._store.tables()
        for use in self._system.tables:
            self._shapes[use.table] = shape_of(use.table, table_of(self._system, use.table))
        if after is not None:
            self._since, self._emitted, self._compared = json.loads(after)
            return after
        now = time.time_ns() // 1000
        for name in self._shapes:
            self._since[name] = now
            self._emitted[name] = {
                key: row[MODIFIED_COLUMN] for key, row in tables[name].rows.items()
            }
            self._forget(name)
        self._compared = time.time()
        return self._checkpoint()

    async def read(self, limit: int, timeout: float) -> Batch:
        self._polls += 1
        deadline = time.monotonic() + timeout
        while True:
            changes = self._poll(limit)
            every = _options(self._system).compare
            due = bool(every) and time.time() - self._compared >= every
            if changes or due or self._watermarks or time.monotonic() >= deadline:
                break
            await asyncio.sleep(min(POLL_INTERVAL_S, max(0.0, deadline - time.monotonic())))
        # No poll is under way between two reads: the marks stand before this one.
        watermarks, self._watermarks = [Watermark(0, name, 0) for name in self._watermarks], []
        stale = []
        if due:
            self._compared = time.time()
            reason = f"deletes are found by listing keys every {every} s"
            stale = [Stale(tuple(self._shapes), reason, deletes_only=True)]
        # A look that found more than was asked for ends with the next one.
        if len(changes) < limit:
            self._complete_polls = self._polls
        return Batch(
            changes, self._checkpoint(), 0, watermarks, stale=stale, polls=self._complete_polls
        )

    def _poll(self, limit: int) -> list[Change]:
        tables = self._store.tables()
        changes: list[Change] = []
        for name, shape in self._shapes.items():
            emitted, since = self._emitted[name], self._since[name]
            changed = sorted(
                (row[MODIFIED_COLUMN], key)
                for key, row in tables[name].rows.items()
                if row[MODIFIED_COLUMN] >= since - OVERLAP_MICROS
                and emitted.get(key) != row[MODIFIED_COLUMN]
            )
            for stamp, key in changed[: limit - len(changes)]:
                row = raw(shape, tables[name].rows[key])
                op = UPDATE if key in emitted else CREATE
                transaction = SourceTransaction(None, 0, stamp)
                changes.append(Change(shape, op, None, False, row, 0, transaction))
                emitted[key] = stamp
                self._since[name] = max(self._since[name], stamp)
            self._forget(name)
        return changes

    def _forget(self, name: str) -> None:
        since = self._since[name] - OVERLAP_MICROS
        emitted = self._emitted[name]
        self._emitted[name] = {key: stamp for key, stamp in emitted.items() if stamp >= since}

    def _checkpoint(self) -> Checkpoint:
        return json.dumps([self._since, self._emitted, self._compared]).encode()

    async def ack(self, upto: Checkpoint) -> None:
        """Nothing is kept for us that could be forgotten."""

    async def write_watermark(self, name: str) -> None:
        self._watermarks.append(name)

    async def close(self) -> None:
        """Nothing is open."""


class FileSnapshot:
    """Rows in the order of their keys' text; keys alone where only those are wanted."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def count(self, table: str, where: Condition | None) -> int:
        return len(self._matching(table, where))

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        return self._chunk(table, where, after, limit, "")

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        return self._chunk(table, None, after, limit, table_of(self._system, table).key)

    def _chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int, only: str
    ) -> Chunk:
        shape = shape_of(table, table_of(self._system, table))
        following = [
            (key, row)
            for key, row in sorted(self._matching(table, where).items())
            if after is None or key > after[0]
        ]
        rows = [raw(shape, row, only) for _, row in following[:limit]]
        return Chunk(shape, rows, [following[limit - 1][0]] if len(following) > limit else None)

    def _matching(self, table: str, where: Condition | None) -> dict[str, dict[str, Any]]:
        rows = table_of(self._system, table).rows
        return {key: row for key, row in rows.items() if _fits(row, where or {})}

    async def close(self) -> None:
        """Nothing is open."""


def _fits(row: Mapping[str, Any], where: Condition) -> bool:
    return all(
        row[name] in wanted if isinstance(wanted, (list, tuple)) else row[name] == wanted
        for name, wanted in where.items()
    )


class FileReader:
    """Lookups by any columns; `fetches` counts them."""

    features = ReaderFeatures()

    def __init__(self, system: System) -> None:
        self._system = system
        self.fetches = 0

    @property
    def max_keys(self) -> int:
        return _options(self._system).max_keys

    async def fetch(self, ask: Ask) -> Rows:
        refuse_unsupported(ask, self.features)
        self.fetches += 1
        table, columns = ask.table, ask.columns
        store_table = table_of(self._system, table)
        shape = shape_of(table, store_table)
        if unknown := [name for name in columns if name not in store_table.columns]:
            raise Rejected("bad_key", f"table {table!r} has no column {unknown[0]!r}")
        wanted = set(ask.keys)
        rows = [
            raw(shape, row)
            for row in store_table.rows.values()
            if not columns or tuple(row[name] for name in columns) in wanted
        ]
        return Rows(shape, rows[: ask.limit])

    async def close(self) -> None:
        """Nothing is open."""


class PolledConnector:
    """`bridge.connector.Connector`, `LogsIn`, `Drafts` and `Means`."""

    name = "polled"
    options: type[BaseModel] = PolledOptions
    login: type[BaseModel] | None = PolledLogin

    def capabilities(self) -> Capabilities:
        return Capabilities(positions="assigned", deletes="reconciled", snapshot=True, read=True)

    async def describe(self, system: System) -> Mapping[str, Shape]:
        return {
            use.table: shape_of(use.table, table_of(system, use.table)) for use in system.tables
        }

    async def describe_change_detection(self, system: System) -> Mapping[str, str]:
        every = _options(system).compare
        description = (
            f"{MODIFIED_COLUMN} with 0.2 s overlap, deletions by key listing every {every} s"
        )
        return {use.table: description for use in system.tables}

    async def draft(self, system: System) -> str:
        lines = ["entities:"]
        for name, table in store_of(system).tables().items():
            lines += [f"  {name}:", f"    from: {name}", f"    key: {table.key}"]
        return "\n".join(lines)

    async def check(self, system: System) -> list[Finding]:
        await self.describe(system)
        return []

    async def setup(self, system: System) -> list[str]:
        del system
        return []

    def setup_sql(self, system: System) -> list[str]:
        del system
        return []

    async def source(self, system: System) -> Source:
        return PollingSource(system)

    async def snapshot(self, system: System) -> Snapshot:
        return FileSnapshot(system)

    async def reader(self, system: System) -> Reader:
        return FileReader(system)

    async def writer(self, system: System) -> Writer:
        del system
        raise Unsupported(unsupported(self.name, "commands"))


connector = PolledConnector()


def system(path: Path, tables: Iterable[str], **options: Any) -> System:
    """A system over a store's file."""
    from bridge.connector import TableUse

    uses = tuple(TableUse(table) for table in tables)
    shown_url = f"polled://{path}"
    return System(
        "acme", "erp", shown_url, shown_url, PolledOptions(**options), uses, commands=False
    )
