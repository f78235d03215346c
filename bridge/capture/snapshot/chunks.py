"""Reads the chunks of one snapshot job, one after the other, while the stream continues.

Call `read_next` between reads of the source; the rest in stream order. Tables are read in a
separate task (`background_reads`). `windows` explains how windows work; `visibility`, when a chunk
has to be read again because it is older than the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.capture.checkpoint.record import SnapshotJob
from bridge.capture.contract import CaptureDependencies
from bridge.capture.snapshot.background_reads import BackgroundReads
from bridge.capture.snapshot.visibility import VisibilityTracker
from bridge.capture.snapshot.windows import ChunkWindow, ChunkWindows, Emission, KeyChange
from bridge.connector import Change, Chunk, ListsKeys, Snapshot, Source, Visibility
from bridge.model.encoded_text import condition_from_json
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater

#: Concurrent windows: while one waits for its high watermark the next chunk is read.
MAX_OPEN_WINDOWS: Final = 2
FIRST_CHUNK_ROWS: Final = 500
MIN_CHUNK_ROWS: Final = 10
CHUNK_GROWTH: Final = 4
#: How long to wait before rereading a chunk that didn't show what was streamed before it.
MIN_VISIBILITY_WAIT_S, MAX_VISIBILITY_WAIT_S = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class _ReadPurpose:
    """What a read is for: a job's number of rows, or (`window`) one of its chunks; or, without a
    job, which transactions reads show by now.
    """

    job: str = ""
    window: ChunkWindow | None = None


class ChunkReader:
    """The reads and windows of the running job. Used by one task. One per connection, whose
    watermarks contain its `name`: those of an earlier connection may be streamed again.
    """

    def __init__(self, deps: CaptureDependencies, source: Source, name: str) -> None:
        self._deps = deps
        self._source = source
        self._name = name
        self._reads = BackgroundReads(deps, lambda: deps.connector.snapshot(deps.system))
        self._purpose = _ReadPurpose()
        self._estimate: tuple[str, int] = ("", 0)
        self._windows: ChunkWindows | None = None
        self._table = ""
        self._watermarks = 0
        self._chunk_rows = min(FIRST_CHUNK_ROWS, deps.limits.rows)
        self._wait = 0.0
        self._not_before = 0.0
        self._visibility = VisibilityTracker()
        capabilities = deps.connector.capabilities()
        self._tracks = capabilities.visibility
        # A polling source emits states, not changes: what it emitted before a chunk was read is no
        # newer than the chunk. So the window opens with the read itself, and a low watermark, which
        # may come back only after a poll that saw later rows, is not written.
        self._polls = not capabilities.every_change

    @property
    def postponed(self) -> bool:
        """Tables can't be read at the moment: there is nothing to do for a while."""
        return self._reads.waiting

    @property
    def why(self) -> str:
        """What prevents reading tables; empty: nothing."""
        return self._reads.why

    @property
    def job(self) -> SnapshotJob | None:
        """The running job, as of its last emission."""
        return None if self._windows is None else self._windows.job

    @property
    def is_done(self) -> bool:
        """Every row of the job was emitted."""
        return self._windows is not None and self._windows.done

    async def estimate(self, table: str, job: SnapshotJob) -> int | None:
        """Roughly how many rows the job will read; None while unknown, 0 if the system refuses to
        count.
        """
        await self._take_result(job.id)
        estimated_job, count = self._estimate
        if estimated_job == job.id:
            return count
        if self._reads.free:
            self._purpose = _ReadPurpose(job.id)
            where = condition_from_json(job.where)
            self._reads.start(lambda reader: reader.count(table, where), f"count of {table}")
        return None

    def start_job(self, table: str, job: SnapshotJob) -> None:
        """Start a job, replacing the previous one."""
        self.abandon_job()
        self._table = table
        self._windows = ChunkWindows(job)
        self._wait = self._not_before = 0.0

    def abandon_job(self) -> None:
        """Abandon the job. The result of a read in progress is ignored."""
        if self._windows is not None:
            self._windows.restart()
        self._windows = None

    async def read_next(self) -> None:
        """Continue as far as possible without waiting. Raises what reading a chunk raised, except
        RetryLater: that is retried from after what is in the log.
        """
        windows = self._windows
        if windows is None:
            return
        low = await self._take_result(windows.job.id)
        if not self._reads.free or windows.open_count >= MAX_OPEN_WINDOWS:
            return
        if self._deps.monotonic() < self._not_before:
            return
        read = windows.next_read()
        if read is None:
            return
        if self._polls:
            low = ""
        elif not low:
            low = await self.write_watermark("low")
        window = windows.open_window(read, low)
        after = None if read.after is None else list(read.after)
        self._purpose = _ReadPurpose(windows.job.id, window)
        self._reads.start(
            lambda reader: self._chunk(reader, windows.job, after), f"snapshot of {self._table}"
        )

    async def _chunk(self, reader: Snapshot, job: SnapshotJob, after: list[object] | None) -> Chunk:
        if job.deletes_only and isinstance(reader, ListsKeys):
            return await reader.keys(self._table, after, self._chunk_rows)
        where = condition_from_json(job.where)
        return await reader.chunk(self._table, where, after, self._chunk_rows)

    async def _take_result(self, job: str) -> str:
        """Take the result of a read that ended; writes its high watermark and returns it as the
        next read's low one. Raises what the read raised for `job`; errors of other jobs are
        dropped.
        """
        if not self._reads.done:
            return ""
        purpose, windows = self._purpose, self._windows
        try:
            result = await self._reads.take()
        except RetryLater:
            if windows is not None:
                windows.restart()
            return ""
        except BridgeError:
            if purpose.job != job:
                return ""
            if purpose.window is not None:
                raise
            # The number is only for people; the chunks will show whether rows can be read.
            self._estimate = (job, 0)
            return ""
        if purpose.window is None:
            if purpose.job:
                self._estimate = (purpose.job, result)
            else:
                self._visibility.forget_seen(result)
            return ""
        if windows is None or purpose.job != windows.job.id:
            return ""
        self._deps.crash_point("chunk.after")
        windows.receive_chunk(purpose.window, result)
        high = await self.write_watermark("high")
        windows.set_high_watermark(purpose.window, high)
        return high

    async def write_watermark(self, which: str) -> str:
        """Write a watermark into the stream; returns its name."""
        self._watermarks += 1
        name = f"{self._name}.{self._watermarks}"
        self._deps.crash_point(f"{which}.before")
        await self._source.write_watermark(name)
        self._deps.crash_point(f"{which}.after")
        return name

    # -- in stream order ---------------------------------------------------------------------

    def note_streamed(self, table: str, changes: Sequence[Change]) -> None:
        """Changes of a table were streamed."""
        if self._tracks:
            self._visibility.add(table, [change[6][3] for change in changes])

    def note_changes(self, changes: Sequence[KeyChange]) -> None:
        """Changes of the job's entity were streamed."""
        if self._windows is not None:
            self._windows.note_changes(changes)

    def pass_watermark(self, name: str) -> ChunkWindow | None:
        """A watermark was streamed; returns the window to emit here."""
        if self._windows is None:
            return None
        return self._windows.pass_watermark(name, self._visibility.last_number(self._table))

    def emit(self, window: ChunkWindow, keys: Sequence[bytes], size: int) -> Emission | None:
        """Which rows of the window's chunk to write; None if it is read again.

        `keys`: of all its rows; `size`: of all its records in bytes.
        """
        windows, chunk = self._windows, window.chunk
        if windows is None or chunk is None:
            return None
        unseen = None
        if chunk.visibility is not None:
            unseen = self._visibility.first_unseen(chunk.visibility, self._table, window.before)
        if unseen is None:
            self._wait = 0.0
        else:
            self._wait = min(max(self._wait * 2, MIN_VISIBILITY_WAIT_S), MAX_VISIBILITY_WAIT_S)
            self._not_before = self._deps.monotonic() + self._wait
        windows.shrink = False
        emission = windows.emit(window, keys, unseen)
        self._chunk_rows = self._fitting_rows(len(chunk.rows), size, windows.shrink)
        return emission

    def _fitting_rows(self, rows: int, size: int, shrink: bool) -> int:
        """How many rows the next chunk should have."""
        if shrink:
            return max(self._chunk_rows // 2, MIN_CHUNK_ROWS)
        limits = self._deps.limits
        by_size = limits.size * rows // size if size else limits.rows
        return max(MIN_CHUNK_ROWS, min(self._chunk_rows * CHUNK_GROWTH, by_size, limits.rows))

    # -- without a job -----------------------------------------------------------------------

    async def probe_visibility(self) -> None:
        """Forget transactions that every read shows by now, once many have accumulated. The result
        of this read is used the next time.
        """
        await self._take_result("")
        if self._reads.free and self._visibility.needs_probe:
            self._purpose = _ReadPurpose()
            self._reads.start(self._seen_now, "what reads show")

    async def _seen_now(self, reader: Snapshot) -> Visibility | None:
        """The visibility of a read of any table; None if no table may be read."""
        for table in self._visibility.tables:
            try:
                return (await reader.chunk(table, None, None, 1)).visibility
            except ConfigurationError:
                # A requested snapshot reports that to its requester; capture itself doesn't need
                # it.
                continue
        return None

    @property
    def unseen_transactions(self) -> int:
        """How many transactions are remembered until a read shows them."""
        return len(self._visibility)

    async def close(self) -> None:
        """Stop reading."""
        await self._reads.close()
