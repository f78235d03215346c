"""Random readers, writers, lag, evictions, kills, truncates, snapshots and dead letters."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.capture import control
from bridge.model.errors import BridgeError, RowError
from bridge.model.provenance import provenance
from bridge.model.read_demands import ReadCause, ReadDemands
from tests.capture.databases import BRIDGE
from tests.torture_reads.databases import TABLE, WriterSession
from tests.torture_reads.observer import JudgedAnswer, NotedHistory
from tests.torture_reads.world import TortureWorld, torture_world

KEYS = tuple(range(1, 41))
PARENTS = tuple(range(1, 6))
WRITERS, READERS = 3, 8
STALENESS = (0.0, 0.02, 0.1, 0.5, 0.5, 2.0, 5.0, 5.0)
WALL_TOLERANCE_S = 0.001
"""A row's provenance has a wall time, which is taken and taken back a little later."""
READS_PER_HARM = 150
NOT_DECIMAL = "none"


@dataclass
class TortureResult:
    """reads: answers of rows and lists that were judged. risky: those whose row was changed within
    the staleness that was allowed; risky_cached: of those the rows that the cache answered. stale: what was wrong.
    """

    reads: int = 0
    risky: int = 0
    risky_cached: int = 0
    rows: int = 0
    lists_cached: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    harms: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    stale: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = (
            f"{self.reads} reads, {self.rows} rows judged",
            f"{self.risky} risky, {self.risky_cached} of them cached",
            f"{len(self.stale)} stale; {self.writes} changes",
            f"sources {dict(self.sources)}, {self.lists_cached} lists cached",
            f"harms {dict(self.harms)}",
            f"failures {dict(self.failures)}",
        )
        return "; ".join(parts)


class ReadTorture:
    """One run; ends after `reads` answers, or with the first `max_stale` wrong ones."""

    def __init__(
        self, world: TortureWorld, chance: random.Random, reads: int, max_stale: int
    ) -> None:
        self.world = world
        self.chance = chance
        self.history = NotedHistory()
        self.result = TortureResult()
        self._reads = reads
        self._max_stale = max_stale
        self._locks = {key: asyncio.Lock() for key in KEYS}
        self._version = 0
        self._in_table: set[int] = set()
        self._positions: list[tuple[int, int, str]] = []

    @property
    def is_over(self) -> bool:
        return self.result.reads >= self._reads or len(self.result.stale) >= self._max_stale

    async def run(self) -> TortureResult:
        world = self.world
        sessions = [await world.database.session() for _ in range(WRITERS + 1)]
        await self._write(sessions[0], KEYS[::2])
        await world.begin_capture()
        await world.begin_copy()
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(self._writer(session)) for session in sessions[1:]]
                helpers.append(group.create_task(self._killer(sessions[0])))
                readers = [group.create_task(self._reader(f"r{n}")) for n in range(READERS)]
                await asyncio.wait(readers)
                self._stop = True
                await asyncio.wait(helpers)
        finally:
            for session in sessions:
                await session.close()
        await self._check_end()
        return self.result

    _stop = False

    # -- writers -----------------------------------------------------------------------------

    async def _writer(self, session: WriterSession) -> None:
        while not self._stop:
            count = self.chance.choice((1, 1, 1, 2, 4))
            keys = sorted({self._key() for _ in range(count)})
            await self._write(session, keys)
            await asyncio.sleep(self.chance.random() ** 3 * 0.05)

    async def _write(self, session: WriterSession, keys: Sequence[int]) -> None:
        """One transaction of one change of each of the keys."""
        for key in keys:
            await self._locks[key].acquire()
        try:
            commit = self.chance.random() > 0.1
            statements, states, present = self._changes(keys, commit=commit)
            pause = self.chance.random() * 0.1 if self.chance.random() < 0.1 else 0.0
            await session.transaction(statements, pause, commit=commit)
            done = time.monotonic()
            if commit:
                for state in states:
                    state.done = done
                self._in_table = self._in_table.difference(keys).union(present)
                self.result.writes += len(states)
        finally:
            for key in keys:
                self._locks[key].release()

    def _changes(self, keys: Sequence[int], *, commit: bool) -> Any:
        statements: list[tuple[str, Sequence[Any]]] = []
        states, present = [], set()
        for key in keys:
            self._version += 1
            version: int | None = self._version
            before, chance = self.history.of(key)[-1], self.chance.random()
            amount = f"{version}.00"
            parent, big = self.chance.choice(PARENTS), self._big()
            if key not in self._in_table:
                row: tuple[Any, ...] = (key, parent, version, amount, big)
                statements.append((f"INSERT INTO {TABLE} VALUES (?, ?, ?, ?, ?)", row))
            elif chance < 0.15:
                statements.append((f"DELETE FROM {TABLE} WHERE id = ?", (key,)))
                version = None
            elif chance < 0.3:
                columns = "parent = ?, version = ?, amount = ?, big = ?"
                row = (parent, version, amount, big, key)
                statements.append((f"UPDATE {TABLE} SET {columns} WHERE id = ?", row))
            else:
                parent, big = before.parent or 0, before.big or ""
                columns = "version = ?, amount = ?"
                statements.append(
                    (f"UPDATE {TABLE} SET {columns} WHERE id = ?", (version, amount, key))
                )
            if version is not None:
                present.add(key)
            if commit:
                now = time.monotonic()
                states.append(self.history.begin(key, version, now, parent, big))
        return statements, states, present

    def _big(self) -> str:
        """Sometimes so long that PostgreSQL doesn't send it again with other changes."""
        return self.chance.randbytes(2000).hex() if self.chance.random() < 0.3 else "small"

    def _key(self) -> int:
        """Some often, some rarely."""
        return KEYS[min(int(self.chance.paretovariate(0.7)) - 1, len(KEYS) - 1)]

    # -- readers -----------------------------------------------------------------------------

    async def _reader(self, name: str) -> None:
        seen: dict[int, int] = {}
        cause = ReadCause(name) if self.chance.random() < 0.5 else None
        while not self.is_over:
            staleness = self.chance.choice(STALENESS)
            demands = ReadDemands(max_staleness=staleness, deadline=30.0, cause=cause)
            began = time.monotonic()
            try:
                await self._read(demands, began, seen if cause is not None else {})
            except RowError:
                self.result.failures["row"] += 1
            except BridgeError as error:
                self.result.failures[type(error).__name__] += 1
            if self.chance.random() < 0.2:
                await asyncio.sleep(self.chance.random() * 0.01)
            else:
                await asyncio.sleep(0)

    async def _read(self, demands: ReadDemands, began: float, seen: dict[int, int]) -> None:
        gateway, chance = self.world.gateway, self.chance.random()
        if chance < 0.6:
            key = self._key()
            row = await gateway.get("item", key, demands)
            self._judge_rows({key: row}, demands, began, seen)
        elif chance < 0.8:
            keys = [self._key() for _ in range(5)]
            rows = await gateway.get_many("item", keys, demands)
            self._judge_rows(dict(zip(keys, rows, strict=True)), demands, began, seen)
        else:
            parent = self.chance.choice(PARENTS)
            listed = await gateway.query("item", {"parent": parent}, 1000, demands)
            self._judge_list(parent, list(listed), demands, began)

    def _judge_rows(
        self, rows: dict[int, Any], demands: ReadDemands, began: float, seen: dict[int, int]
    ) -> None:
        now = time.monotonic()
        not_before = began - (demands.max_staleness or 0.0)
        self.result.reads += 1
        for key, row in rows.items():
            version = None if row is None else int(row["version"])
            as_of = not_before
            if row is not None:
                as_of = max(as_of, self._claimed(row, now, not_before))
            self._judge(JudgedAnswer(key, version, as_of, now), not_before)
            if version is not None:
                number = self.history.number(key, version)
                if number < seen.get(key, 0):
                    self._stale(f"row {key} went back from state {seen[key]} to {number}")
                seen[key] = max(number, seen.get(key, 0))

    def _claimed(self, row: Any, now: float, not_before: float) -> float:
        """What the row itself claims; its columns have to be those of its version."""
        origin, key, version = provenance(row), int(row["id"]), int(row["version"])
        self.result.sources[origin.source] += 1
        if origin.source == "cache":
            self.result.risky_cached += self.history.is_risky(key, not_before)
        state = self.history.state(key, version)
        if (row["parent"], row["big"]) != (state.parent, state.big):
            self._stale(f"row {key} of version {version} has columns of another")
        if origin.position and self.chance.random() < 0.1:
            self._positions.append((key, version, origin.position))
        return now - (time.time() - origin.as_of.timestamp()) - WALL_TOLERANCE_S

    def _judge_list(
        self, parent: int, rows: Sequence[Any], demands: ReadDemands, began: float
    ) -> None:
        now = time.monotonic()
        not_before = began - (demands.max_staleness or 0.0)
        self.result.reads += 1
        if rows and provenance(rows[0]).source == "cache":
            self.result.lists_cached += 1
        for row in rows:
            if row["parent"] != parent:
                self._stale(f"{dict(row)} is no row of parent {parent}")
            as_of = max(not_before, self._claimed(row, now, not_before))
            self._judge(JudgedAnswer(row["id"], int(row["version"]), as_of, now), not_before)
        for key in set(KEYS).difference(row["id"] for row in rows):
            self.result.rows += 1
            if reason := self.history.why_missing(key, parent, not_before, now):
                self._stale(reason)

    def _judge(self, answer: JudgedAnswer, not_before: float) -> None:
        self.result.rows += 1
        self.result.risky += self.history.is_risky(answer.key, not_before)
        if reason := self.history.why_stale(answer):
            self._stale(reason)

    def _stale(self, reason: str) -> None:
        self.result.stale.append(f"{reason}; harms so far: {dict(self.result.harms)}")

    # -- harms -------------------------------------------------------------------------------

    async def _killer(self, session: WriterSession) -> None:
        harms = [
            self._kill_capture,
            self._kill_copy,
            self._evict,
            self._evict,
            self._lag,
            self._lag,
            self._snapshot,
            self._reconcile,
        ]
        while not self._stop:
            due = self.result.reads + self.chance.random() * 2 * READS_PER_HARM
            while self.result.reads < due and not self._stop:
                await asyncio.sleep(0.02)
            if self.world.database.can_truncate and self.chance.random() < 0.15:
                await self._truncate(session)
                continue
            if self.chance.random() < 0.3:
                await self._spoil(session)
                continue
            await self.chance.choice(harms)()

    async def _kill_capture(self) -> None:
        self.result.harms["capture killed"] += 1
        await self.world.kill_capture()
        await asyncio.sleep(self.chance.random() * 0.4)
        await self.world.begin_capture()

    async def _kill_copy(self) -> None:
        self.result.harms["copy killed"] += 1
        await self.world.kill_copy()
        await asyncio.sleep(self.chance.random() * 0.1)
        await self.world.begin_copy()

    async def _evict(self) -> None:
        self.result.harms["evicted"] += 1
        copy = self.world.copy
        for entry in list(copy.cache.table(copy.scope, "item")):
            if self.chance.random() < 0.5:
                copy.cache.evict(copy.scope, "item", entry)

    async def _lag(self) -> None:
        self.result.harms["lag"] += 1
        self.world.log.lag_s = self.chance.choice((0.0, 0.0, 0.02, 0.1, 0.3))

    async def _snapshot(self) -> None:
        self.result.harms["snapshot"] += 1
        await control.send(self.world.log, BRIDGE, control.request("erp", "snapshot", "item"))

    async def _reconcile(self) -> None:
        self.result.harms["reconcile"] += 1
        request = control.request("erp", "snapshot", "item", reconcile=True)
        await control.send(self.world.log, BRIDGE, request)

    async def _spoil(self, session: WriterSession) -> None:
        """A row can't be read, nor captured, for a while."""
        self.result.harms["spoiled row"] += 1
        key = self._key()
        async with self._locks[key]:
            if key not in self._in_table:
                return
            for amount in (NOT_DECIMAL, "1.00"):
                self._version += 1
                before = self.history.of(key)[-1]
                now = time.monotonic()
                state = self.history.begin(key, self._version, now, before.parent, before.big)
                update = f"UPDATE {TABLE} SET version = ?, amount = ? WHERE id = ?"
                await session.transaction(
                    [(update, (self._version, amount, key))], 0.0, commit=True
                )
                state.done = time.monotonic()
                if amount == NOT_DECIMAL:
                    await asyncio.sleep(self.chance.random())

    async def _truncate(self, session: WriterSession) -> None:
        self.result.harms["truncate"] += 1
        for key in KEYS:
            await self._locks[key].acquire()
        try:
            now = time.monotonic()
            states = [
                self.history.begin(key, None, now, None, None) for key in sorted(self._in_table)
            ]
            await session.transaction([(f"TRUNCATE {TABLE}", ())], 0.0, commit=True)
            for state in states:
                state.done = time.monotonic()
            self._in_table = set()
        finally:
            for key in KEYS:
                self._locks[key].release()

    # -- the end -----------------------------------------------------------------------------

    async def _check_end(self) -> None:
        """The notes are the database's own history, and claims of positions are those of the log."""
        self.result.stale.extend(self.history.differences(self.world.database.history()))
        written: dict[int, list[tuple[str, int]]] = {}
        for record in await self.world.harness.records("item"):
            if record.change is not None and record.change["after"] is not None:
                version = record.change["after"]["version"]
                written.setdefault(record.key["id"], []).append(
                    (record.change["position"], version)
                )
        for key, version, position in self._positions:
            before = [each for at, each in written.get(key, ()) if at <= position]
            if before:
                latest = max(self.history.number(key, each) for each in before)
                if self.history.number(key, version) < latest:
                    self._stale(f"row {key}: version {version} claims position {position}")


async def torture_reads(
    folder: Path,
    reads: int,
    seed: int,
    *,
    postgres_url: str = "",
    max_stale: int = 1,
    report: Callable[[str], None] = lambda _: None,
) -> TortureResult:
    """A run of so many reads, or until `max_stale` answers were wrong."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    async with torture_world(folder, chance, postgres_url) as world:
        torture = ReadTorture(world, chance, reads, max_stale)
        reporting = asyncio.create_task(_report(torture, report))
        try:
            return await torture.run()
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting


async def _report(torture: ReadTorture, report: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(10.0)
        report(str(torture.result))
