"""Takes the snapshots that the progress lists, one after the other, while the stream goes on.

The runner calls `step` between reads of the source, tells what came by in the stream, and writes
what `passed` and `emit` give back, in stream order. Tables are read by a task of its own (`reads`).
How windows work is in `window`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.capture.checkpoint.record import SnapshotJob
from bridge.capture.contract import CaptureDependencies
from bridge.capture.snapshot.background_reads import BackgroundReads
from bridge.capture.snapshot.visibility import PriorTransactions, StreamedTransactions
from bridge.capture.snapshot.windows import ChunkWindow, ChunkWindows, Emission, KeyChange
from bridge.connector import Change, Chunk, ListsKeys, Snapshot, Source, Visibility
from bridge.model.encoded_text import condition_from_json
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater

#: Windows under way at a time: while one waits for its high watermark the next chunk is read.
OVERLAP: Final = 2
FIRST_ROWS: Final = 500
FEWEST_ROWS: Final = 10
GROWTH: Final = 4
SHORTEST_WAIT, LONGEST_WAIT = 0.05, 2.0
#: Above this many transactions of one table a read of one row tells which of them can be forgotten.
MANY: Final = 50_000
#: Above this many the older half is forgotten, proven or not: memory is bounded.
MOST: Final = 200_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a read is for: the number of rows of a job, or (`window`) a chunk of it; or, without a
    job, what reads show by now.
    """

    job: str = ""
    window: ChunkWindow | None = None


class ChunkReader:
    """The snapshot that is under way. Used by one task; a new one for each connection, whose
    watermarks bear its `name`: those of an earlier connection may come again.
    """

    def __init__(self, deps: CaptureDependencies, source: Source, name: str) -> None:
        self._deps = deps
        self._source = source
        self._name = name
        self._reads = BackgroundReads(deps, lambda: deps.connector.snapshot(deps.system))
        self._asked = _Asked()
        self._estimate: tuple[str, int] = ("", 0)
        self._windows: ChunkWindows | None = None
        self._table = ""
        self._marks = 0
        self._rows = min(FIRST_ROWS, deps.limits.rows)
        self._wait = 0.0
        self._not_before = 0.0
        self._unproven: dict[str, StreamedTransactions] = {}
        self._earlier = PriorTransactions()
        capabilities = deps.connector.capabilities()
        self._tracks = capabilities.visibility
        # A source that polls tells states, not changes: what it told before a chunk was read is no
        # newer than the chunk. So the window opens with the read itself, and a low watermark,
        # which may come back only after a poll that saw later rows, is not asked for.
        self._polls = not capabilities.every_change

    @property
    def active(self) -> bool:
        """A snapshot is under way: the runner should come by often."""
        return self._windows is not None

    @property
    def waiting(self) -> bool:
        """The table doesn't show yet what the stream has told."""
        return self._wait > 0

    @property
    def postponed(self) -> bool:
        """Tables can't be read just now: nothing is to be done for a while."""
        return self._reads.waiting

    @property
    def why(self) -> str:
        """What keeps tables from being read; empty: nothing."""
        return self._reads.why

    @property
    def job(self) -> SnapshotJob | None:
        """The job under way, as of its last emission."""
        return None if self._windows is None else self._windows.job

    @property
    def done(self) -> bool:
        """Every row of the job was emitted."""
        return self._windows is not None and self._windows.done

    async def estimate(self, table: str, job: SnapshotJob) -> int | None:
        """How many rows the job will read, roughly; None while that isn't known yet, 0 where the
        system refuses to say.
        """
        await self._settle(job.id)
        known, count = self._estimate
        if known == job.id:
            return count
        if self._reads.free:
            self._asked = _Asked(job.id)
            where = condition_from_json(job.where)
            self._reads.start(lambda reader: reader.count(table, where), f"count of {table}")
        return None

    def begin(self, table: str, job: SnapshotJob) -> None:
        """Take up a job, in place of the one before."""
        self.drop()
        self._table = table
        self._windows = ChunkWindows(job)
        self._wait = self._not_before = 0.0

    def drop(self) -> None:
        """Give the job up. What is still being read is ignored when it comes."""
        if self._windows is not None:
            self._windows.drop()
        self._windows = None

    async def step(self) -> None:
        """Go on as far as possible without waiting. Raises what reading a chunk raised, other than
        RetryLater: that is tried again, behind what is in the log.
        """
        windows = self._windows
        if windows is None:
            return
        low = await self._settle(windows.job.id)
        if not self._reads.free or windows.waiting >= OVERLAP:
            return
        if self._deps.monotonic() < self._not_before:
            return
        read = windows.next()
        if read is None:
            return
        if self._polls:
            low = ""
        elif not low:
            low = await self.mark("low")
        window = windows.begin(read, low)
        after = None if read.after is None else list(read.after)
        self._asked = _Asked(windows.job.id, window)
        self._reads.start(
            lambda reader: self._chunk(reader, windows.job, after), f"snapshot of {self._table}"
        )

    async def _chunk(self, reader: Snapshot, job: SnapshotJob, after: list[object] | None) -> Chunk:
        if job.deletes_only and isinstance(reader, ListsKeys):
            return await reader.keys(self._table, after, self._rows)
        where = condition_from_json(job.where)
        return await reader.chunk(self._table, where, after, self._rows)

    async def _settle(self, job: str) -> str:
        """Take what a read that is through has brought; marks its end, and returns that watermark,
        for the next one. Raises what it raised for `job`: what it was of another is forgotten.
        """
        if not self._reads.done:
            return ""
        asked, windows = self._asked, self._windows
        try:
            found = await self._reads.take()
        except RetryLater:
            if windows is not None:
                windows.drop()
            return ""
        except BridgeError:
            if asked.job != job:
                return ""
            if asked.window is not None:
                raise
            # The number is for people alone: whether the rows can be read, their chunks will tell.
            self._estimate = (job, 0)
            return ""
        if asked.window is None:
            if asked.job:
                self._estimate = (asked.job, found)
            else:
                self._proven(found)
            return ""
        if windows is None or asked.job != windows.job.id:
            return ""
        self._deps.crash_point("chunk.after")
        windows.arrive(asked.window, found)
        high = await self.mark("high")
        windows.end(asked.window, high)
        return high

    async def mark(self, which: str) -> str:
        """Write a watermark into the stream; returns its name."""
        self._marks += 1
        name = f"{self._name}.{self._marks}"
        self._deps.crash_point(f"{which}.before")
        await self._source.write_watermark(name)
        self._deps.crash_point(f"{which}.after")
        return name

    def streamed(self, table: str, changes: Sequence[Change]) -> None:
        """Changes of a table came by in the stream."""
        if self._tracks:
            transactions = dict.fromkeys([change[6][3] for change in changes])
            unproven = self._unproven.setdefault(table, StreamedTransactions())
            unproven.add(transactions)
            if len(unproven) > MOST:
                unproven.keep(MOST // 2)
            self._earlier.streamed(transactions)

    def touch(self, changes: Sequence[KeyChange]) -> None:
        """Changes of the job's entity came by."""
        if self._windows is not None:
            self._windows.touch(changes)

    def passed(self, name: str) -> ChunkWindow | None:
        """A watermark came by; returns the window to emit here."""
        if self._windows is None:
            return None
        unproven = self._unproven.get(self._table)
        return self._windows.passed(name, unproven.number if unproven else 0)

    def emit(self, window: ChunkWindow, keys: Sequence[bytes], size: int) -> Emission | None:
        """Which rows of the window's chunk to write; None when it is read again.

        `keys` of all its rows, `size` of all its records in bytes.
        """
        windows, chunk = self._windows, window.chunk
        if windows is None or chunk is None:
            return None
        missing = None if chunk.visibility is None else self._missing(chunk.visibility, window)
        if missing is None:
            self._wait = 0.0
        else:
            self._wait = min(max(self._wait * 2, SHORTEST_WAIT), LONGEST_WAIT)
            self._not_before = self._deps.monotonic() + self._wait
        windows.shrink = False
        emission = windows.emit(window, keys, missing)
        self._rows = self._fitting(len(chunk.rows), size, windows.shrink)
        return emission

    def _missing(self, seen: Visibility, window: ChunkWindow) -> int | None:
        """A transaction that was streamed before the window and that its chunk doesn't show."""
        missing = self._earlier.lacks(seen, self._unproven.values())
        for table, unproven in self._unproven.items():
            # What one table's chunk proves is proven for all.
            lacking = unproven.lacks(seen, window.before if table == self._table else 0)
            missing = lacking if missing is None else missing
        return missing

    def _fitting(self, rows: int, size: int, shrink: bool) -> int:
        """How many rows the next chunk should have."""
        if shrink:
            return max(self._rows // 2, FEWEST_ROWS)
        limits = self._deps.limits
        by_size = limits.size * rows // size if size else limits.rows
        return max(FEWEST_ROWS, min(self._rows * GROWTH, by_size, limits.rows))

    async def prove(self) -> None:
        """Forget transactions that every read shows by now, where many have gathered. What was
        read is taken the next time.
        """
        await self._settle("")
        if not self._reads.free:
            return
        if all(len(unproven) <= MANY for unproven in self._unproven.values()):
            return
        self._asked = _Asked()
        self._reads.start(self._seen_now, "what reads show")

    def _proven(self, seen: Visibility | None) -> None:
        for unproven in self._unproven.values():
            if seen is not None:
                unproven.lacks(seen, 0)
            if len(unproven) > MANY:
                unproven.keep(MANY // 2)

    async def _seen_now(self, reader: Snapshot) -> Visibility | None:
        """What a read of any table shows; None where none of them may be read."""
        for table in list(self._unproven):
            try:
                return (await reader.chunk(table, None, None, 1)).visibility
            except ConfigurationError:
                # Its own snapshots say so to whoever asks for them; capture doesn't need it.
                continue
        return None

    @property
    def unproven(self) -> int:
        """How many transactions are remembered until a read shows them."""
        return sum(map(len, self._unproven.values()))

    async def close(self) -> None:
        """Stop reading."""
        await self._reads.close()
