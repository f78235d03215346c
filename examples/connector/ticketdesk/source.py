"""Changes: rows written since the last poll, told by their time of change.

Ticketdesk stamps a row when its transaction begins, and shows it when that commits. So each poll
reads an overlap again, and remembers which rows of it were emitted: none twice, none missed. Deleted
rows leave nothing behind; they are found by comparing keys, which `Stale` asks capture to do.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

from bridge.connector import (
    CREATE,
    UPDATE,
    Batch,
    Change,
    Checkpoint,
    Shape,
    SourceTransaction,
    Stale,
    System,
    Watermark,
)
from bridge.model.errors import ConfigurationError, Rejected

from .client import CREATED, MODIFIED, Client
from .options import TicketdeskOptions
from .rows import raw_row, shape_of

MAX_CHECKPOINT_BYTES = 60_000
"""The port allows 64 kB."""


class TicketdeskSource:
    """`bridge.connector.Source` of a system that is polled."""

    def __init__(self, system: System, client: Client) -> None:
        self._tables = [use.table for use in system.tables]
        self._options = TicketdeskOptions.model_validate(system.options.model_dump())
        self._client = client
        self._shapes: dict[str, Shape] = {}
        # What a checkpoint holds. Times are microseconds since 1970.
        self._newest: dict[str, int] = {}
        self._emitted: dict[str, dict[str, int]] = {}
        self._compared_at = 0.0
        self._marks: list[str] = []
        self._unremembered = False
        self._complete_polls = 0

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """Continue after a checkpoint, or begin now: what is there already comes by the snapshot."""
        for name in self._tables:
            self._shapes[name] = shape_of(await self._client.table(name))
        if after is not None:
            self._newest, emitted, self._compared_at = json.loads(after)
            self._unremembered = emitted is None
            self._emitted = emitted or await self._rows_in_overlap()
            return after
        self._compared_at = time.time()
        self._newest = dict.fromkeys(self._shapes, int(self._compared_at * 1e6))
        self._emitted = await self._rows_in_overlap()
        return self._checkpoint()

    async def _rows_in_overlap(self) -> dict[str, dict[str, int]]:
        keys: dict[str, dict[str, int]] = {}
        for name, shape in self._shapes.items():
            rows = self._client.changed_rows(name, self._overlap_start(name))
            keys[name] = {_key(shape, row): row[MODIFIED] async for row in rows}
        return keys

    async def read(self, limit: int, timeout: float) -> Batch:
        """Poll until there is something to return, or `timeout` is over."""
        deadline = time.monotonic() + timeout
        while True:
            # Marks that came before this poll began are emitted before its changes.
            marks, self._marks = self._marks, []
            changes, unreadable = await self._poll(limit)
            stale = [*self._missed(), *self._comparison_due()]
            remaining = deadline - time.monotonic()
            if changes or stale or marks or remaining <= 0:
                break
            await asyncio.sleep(min(self._options.interval, remaining))
        return Batch(
            changes,
            self._checkpoint(),
            0,
            [Watermark(0, name, 0) for name in marks],
            stale=stale,
            troubles=unreadable,
            polls=self._complete_polls,
        )

    async def _poll(self, limit: int) -> tuple[list[Change], dict[str, str]]:
        """The changes of all tables, and why some can't be read for now: the others go on."""
        changes: list[Change] = []
        unreadable: dict[str, str] = {}
        for name in self._shapes:
            try:
                complete = await self._poll_table(name, changes, limit)
            except (ConfigurationError, Rejected) as error:
                unreadable[name] = str(error)
            else:
                if not complete:
                    # The rest is read by the next poll.
                    return changes, unreadable
        self._complete_polls += 1
        return changes, unreadable

    async def _poll_table(self, name: str, changes: list[Change], limit: int) -> bool:
        """Add the table's changes; whether all of them had room."""
        start, emitted = self._overlap_start(name), self._emitted[name]
        async for row in self._client.changed_rows(name, start):
            shape = await self._shape_for(name, row)
            key, modified = _key(shape, row), row[MODIFIED]
            if emitted.get(key) == modified:
                continue
            if len(changes) == limit:
                return False
            # A row that was written long ago, and isn't remembered, was emitted then.
            op = CREATE if key not in emitted and row[CREATED] >= start else UPDATE
            transaction = SourceTransaction(None, 0, modified)
            changes.append(Change(shape, op, None, False, raw_row(shape, row), 0, transaction))
            emitted[key] = modified
            self._newest[name] = max(self._newest[name], modified)
        start = self._overlap_start(name)
        self._emitted[name] = {key: at for key, at in emitted.items() if at >= start}
        return True

    async def _shape_for(self, name: str, row: Mapping[str, object]) -> Shape:
        """The table's Shape: another one once its rows have other columns."""
        shape = self._shapes[name]
        if row.keys() != {column.name for column in shape.columns}:
            shape = self._shapes[name] = shape_of(await self._client.table(name))
        return shape

    def _overlap_start(self, table: str) -> int:
        return self._newest[table] - int(self._options.overlap * 1e6)

    def _comparison_due(self) -> list[Stale]:
        every = self._options.compare_every
        if time.time() - self._compared_at < every:
            return []
        self._compared_at = time.time()
        reason = f"deletes are found by comparing keys every {every:g} s"
        return [Stale(tuple(self._shapes), reason, deletes_only=True)]

    def _missed(self) -> list[Stale]:
        """After a restart that didn't know which rows had been emitted: compare all of them."""
        if not self._unremembered:
            return []
        self._unremembered = False
        return [
            Stale(tuple(self._shapes), "more rows were changed at once than a checkpoint holds")
        ]

    def _checkpoint(self) -> Checkpoint:
        whole = json.dumps([self._newest, self._emitted, self._compared_at]).encode()
        if len(whole) <= MAX_CHECKPOINT_BYTES:
            return whole
        return json.dumps([self._newest, None, self._compared_at]).encode()

    async def ack(self, upto: Checkpoint) -> None:
        """Ticketdesk keeps nothing for us that it could forget."""

    async def write_watermark(self, name: str) -> None:
        """Emit a watermark after all changes of polls that started before this call."""
        self._marks.append(name)

    async def close(self) -> None:
        """Close the connections; what was not acknowledged is read again after a restart."""
        await self._client.close()


def _key(shape: Shape, row: dict[str, object]) -> str:
    return str(next(row[column.name] for column in shape.columns if column.key))
