"""What a log would hold of a source that streams states, not every change; and what was true."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from bridge.connector import Batch, Chunk, ListsKeys, Snapshot, Stale
from bridge.kit.connector.legacy import KEY, Create, Delete, LegacySystem, Operation, Rekey, Update
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S
from bridge.kit.connector.records import HistoryStep, Record
from bridge.kit.connector.stream import RecordedStream

Key = tuple[Any, ...]
States = list[Record | None]
EMPTY: Record = {"customer": None, "qty": None, "price": None}
KEYS_PER_PAGE = 50


class Witness:
    """Applies operations and remembers the true states of each key, in order; None: not there."""

    def __init__(self, legacy: LegacySystem) -> None:
        self._legacy = legacy
        self.truth: dict[Key, States] = {}

    def apply(self, *operations: Operation) -> None:
        """As `Legacy.apply`, each in a transaction of its own."""
        for operation in operations:
            self._legacy.apply(operation)
            self._note(operation)

    def _note(self, operation: Operation) -> None:
        if isinstance(operation, Create):
            self._become(operation.row[KEY], EMPTY | dict(operation.row))
        elif isinstance(operation, Update):
            self._become(operation.key, self._now(operation.key) | dict(operation.values))
        elif isinstance(operation, Delete):
            self._become(operation.key, None)
        else:
            assert isinstance(operation, Rekey)
            row = self._now(operation.key)
            self._become(operation.key, None)
            self._become(operation.new, row | {KEY: operation.new})

    def _now(self, key: str) -> Record:
        row = self.truth[(key,)][-1]
        assert row is not None, f"the load changes {key}, which is gone"
        return row

    def _become(self, key: str, row: Record | None) -> None:
        self.truth.setdefault((key,), [None]).append(row)


class Follower:
    """Follows a stream as capture does: rows as they are streamed, keys compared where the source asks for it."""

    def __init__(self, stream: RecordedStream, legacy: LegacySystem) -> None:
        self.rows: dict[Key, Record] = {}
        self.states: dict[Key, States] = {}
        self.compared = 0
        self._stream = stream
        self._legacy = legacy
        self._at = len(stream.steps)

    def go_on(self, stream: RecordedStream) -> None:
        """Follow another stream, which begins where the last one ended."""
        self._stream, self._at = stream, len(stream.steps)

    def take(self, steps: Iterable[HistoryStep]) -> None:
        """Add to the history."""
        for step in steps:
            self._become(step.key, step.after)

    async def read(self, limit: int = 1000) -> Batch:
        """One batch, followed."""
        batch = await self._stream.read(limit)
        self.take(self._stream.steps[self._at :])
        self._at = len(self._stream.steps)
        for stale in batch.stale:
            if self._legacy.table in stale.tables:
                await self.compare(stale)
        return batch

    async def until_equal(self, seconds: float = WAIT_TIMEOUT_S) -> None:
        """Read until the log would hold what the legacy program has; fails when it doesn't."""
        deadline = time.monotonic() + seconds
        while (rows := self._legacy.rows()) != self.sorted():
            if time.monotonic() > deadline:
                missing = [row for row in rows if row not in self.sorted()]
                unexpected = [row for row in self.sorted() if row not in rows]
                pytest.fail(
                    f"after {seconds} s rows are missing: {missing[:3]}, and too many: {unexpected[:3]}"
                )
            await self.read()

    async def looked(self) -> None:
        """Read until the source has polled the current rows and streamed what it found."""
        wanted = (await self.read()).polls + 2
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while (await self.read()).polls < wanted:
            if time.monotonic() > deadline:
                pytest.fail("the source doesn't count its polls of its tables (Batch.polls)")

    def sorted(self) -> list[Record]:
        """The rows as `Legacy.rows` gives them."""
        return sorted(self.rows.values(), key=lambda row: str(row[KEY]))

    async def compare(self, stale: Stale) -> None:
        """Compare with the table, as capture does when the source can't say any more."""
        self.compared += 1
        connector, table = self._legacy.connector, self._legacy.table
        snapshot = await connector.snapshot(self._legacy.system())
        listed_keys: set[Key] = set()
        after: list[Any] | None = None
        while True:
            chunk = await _listed(snapshot, table, after, keys=stale.deletes_only)
            for raw in chunk.rows:
                if not stale.deletes_only:
                    record = self._stream.records.row(chunk.shape, raw)
                    self._become((record[KEY],), record)
                listed_keys.add(self._stream.records.key(chunk.shape, raw))
            after = chunk.last
            if after is None:
                break
        await snapshot.close()
        for key in [key for key in self.rows if key not in listed_keys]:
            self._become(key, None)

    def _become(self, key: Key, row: Record | None) -> None:
        self.states.setdefault(key, []).append(row)
        if row is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = row


async def _listed(snapshot: Snapshot, table: str, after: list[Any] | None, *, keys: bool) -> Chunk:
    if keys and isinstance(snapshot, ListsKeys):
        return await snapshot.keys(table, after, KEYS_PER_PAGE)
    return await snapshot.chunk(table, None, after, KEYS_PER_PAGE)


def check_promise(streamed: dict[Key, States], truth: dict[Key, States]) -> None:
    """For each key: the streamed states are some of its true states, in order, ending with the
    last one. A state may be streamed twice in a row; a key that came and went between two polls
    need not be streamed at all.
    """
    assert set(streamed) <= set(truth), f"keys that never were: {set(streamed) - set(truth)}"
    for key, states in truth.items():
        streamed_states = streamed.get(key, [])
        at = 0
        for state in streamed_states:
            try:
                at = states.index(state, at)
            except ValueError:
                pytest.fail(f"{key}: {state} was streamed when it wasn't true (any more): {states}")
        last = streamed_states[-1] if streamed_states else None
        assert last == states[-1], f"{key} ended as {states[-1]}, and {last} was streamed last"


def changed_keys(steps: Sequence[HistoryStep]) -> set[Key]:
    """The keys that were streamed."""
    return {step.key for step in steps}
