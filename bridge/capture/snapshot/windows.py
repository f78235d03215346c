"""Watermark windows: which rows of a chunk may follow the changes that were streamed meanwhile.

The algorithm is DBLog's (Andreakis, Papapanagiotou: "DBLog: A Watermark Based Change-Data-Capture
Framework", 2020, section 3.2): write a low watermark, read a chunk, write a high watermark; where
the high one comes back in the stream, emit the chunk's rows except those whose key changed between
the two. Three additions: a row of which the stream had only a part is read again; a chunk that
doesn't show a transaction streamed before its low watermark is read again (log order is not
visibility order); chunks overlap, one's high watermark being the next one's low.

Pure: decides from what happened what to read and what to emit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bridge.capture.checkpoint.record import RereadKeys, SnapshotJob
from bridge.connector import Chunk

Cursor = tuple[object, ...] | None

#: A window in which more keys changed is abandoned, to bound memory.
MAX_KEYS_PER_WINDOW = 200_000
#: A chunk with more keys to be read again is read again whole, and smaller: the keys are kept in
#: the checkpoint record.
MAX_REREAD_KEYS = 1_000


class KeyChange(NamedTuple):
    """A change of one key in the stream; `complete`: no column of the row was unavailable."""

    key: bytes
    complete: bool


@dataclass(slots=True, eq=False)
class ChunkWindow:
    """One read of a chunk and what was streamed between its watermarks.

    `keys` None: every row after `after`, else the only rows wanted. `before` is the number of
    the last transaction that was streamed before the low watermark (see `StreamedTransactions`).
    """

    low: str
    after: Cursor
    keys: frozenset[bytes] | None
    high: str = ""
    opened: bool = False
    before: int = 0
    chunk: Chunk | None = None
    spoiled: str = ""
    complete: set[bytes] = field(default_factory=set)
    partial: set[bytes] = field(default_factory=set)

    def note_changes(self, changes: Iterable[KeyChange]) -> None:
        """Changes of this entity were streamed."""
        if not self.opened or self.spoiled:
            return
        complete, partial = self.complete, self.partial
        for key, whole in changes:
            if whole:
                complete.add(key)
                partial.discard(key)
            elif key not in complete:
                partial.add(key)
        if len(complete) + len(partial) > MAX_KEYS_PER_WINDOW:
            self.spoil("too many keys changed while it was read")

    def spoil(self, why: str) -> None:
        """Nothing of this chunk may be emitted; it will be read again."""
        self.spoiled = why
        self.complete.clear()
        self.partial.clear()

    def split_rows(self, keys: Sequence[bytes]) -> tuple[list[int], frozenset[bytes]]:
        """Which of the chunk's rows (by index) may be emitted, and which keys must be read again."""
        kept: list[int] = []
        reread: set[bytes] = set()
        wanted, complete, partial = self.keys, self.complete, self.partial
        if wanted is None and not complete and not partial:
            return list(range(len(keys))), frozenset()
        for index, key in enumerate(keys):
            if key in complete or (wanted is not None and key not in wanted):
                continue
            if key in partial:
                reread.add(key)
            else:
                kept.append(index)
        return kept, frozenset(reread)


class Emission(NamedTuple):
    """What to write at a high watermark: these rows of the chunk, and the job after it."""

    chunk: Chunk
    rows: list[int]
    job: SnapshotJob


class ChunkRequest(NamedTuple):
    """What to read next: after which cursor, for which keys (None: all)."""

    after: Cursor
    keys: frozenset[bytes] | None


class ChunkWindows:
    """The windows of one job, in the order of their watermarks.

    Calls: `next_read` returns what to read; `open_window` when its low watermark was written,
    `receive_chunk` with its rows, `set_high_watermark` when that was written; meanwhile
    `note_changes`, `pass_watermark` and `emit` in stream order.
    """

    def __init__(self, job: SnapshotJob) -> None:
        self.job = job
        self._open: deque[ChunkWindow] = deque()
        self._rereads: deque[RereadKeys] = deque(job.rereads)
        self._after: Cursor = job.after
        self._whole = job.whole
        self.shrink = False

    @property
    def done(self) -> bool:
        """Everything was read and emitted."""
        return self._whole and not self._rereads and not self._open

    @property
    def open_count(self) -> int:
        """How many windows are open."""
        return len(self._open)

    def next_read(self) -> ChunkRequest | None:
        """What to read next, or None when the end of the table was reached."""
        if self._rereads:
            return ChunkRequest(self._rereads[0].after, self._rereads[0].keys)
        return None if self._whole else ChunkRequest(self._after, None)

    def open_window(self, read: ChunkRequest, low: str) -> ChunkWindow:
        """The low watermark of `read` was written; with an empty one the window opens now."""
        window = ChunkWindow(low, read.after, read.keys, opened=not low)
        if read.keys is not None:
            self._rereads.popleft()
        self._open.append(window)
        return window

    def receive_chunk(self, window: ChunkWindow, chunk: Chunk) -> None:
        """The chunk was read. Ignored when the window was dropped meanwhile."""
        window.chunk = chunk
        if window in self._open and window.keys is None:
            self._after = None if chunk.last is None else tuple(chunk.last)
            self._whole = chunk.last is None

    def set_high_watermark(self, window: ChunkWindow, high: str) -> None:
        """The high watermark was written."""
        window.high = high

    def restart(self) -> None:
        """Start over from after what is in the log, as after a TRUNCATE."""
        self._open.clear()
        self._rereads = deque(self.job.rereads)
        self._after, self._whole = self.job.after, self.job.whole

    def note_changes(self, changes: Sequence[KeyChange]) -> None:
        """Changes of the job's entity were streamed."""
        for window in self._open:
            window.note_changes(changes)

    def pass_watermark(self, name: str, number: int) -> ChunkWindow | None:
        """A watermark was streamed; `number`: that of the last transaction before it.

        Returns the window that ends here and is to be emitted now, with `emit`.
        """
        ended = None
        for window in self._open:
            if window.low == name:
                window.opened, window.before = True, number
            if window.high == name and window.opened:
                ended = window
        return ended

    def emit(
        self, window: ChunkWindow, keys: Sequence[bytes], missing: int | None
    ) -> Emission | None:
        """The rows to write at the window's high watermark, with the keys of the chunk's rows;
        None when the chunk has to be read again. `missing`: a transaction that it didn't show.
        """
        chunk = window.chunk
        if chunk is None:
            raise ValueError("a window can't end before its chunk was read")
        kept, reread = window.split_rows(keys)
        if window.spoiled or missing is not None or len(reread) > MAX_REREAD_KEYS:
            self.shrink = bool(window.spoiled) or len(reread) > MAX_REREAD_KEYS
            self._repeat(window)
            return None
        self._open.remove(window)
        last = None if chunk.last is None else tuple(chunk.last)
        if window.keys is None:
            self.job = replace(self.job, after=last, whole=last is None)
        elif last is not None:
            # Rows inserted in between pushed these past the page's end.
            pushed_out = window.keys.difference(keys, window.complete)
            if pushed_out:
                self._rereads.append(RereadKeys(last, pushed_out))
        if reread:
            self._rereads.append(RereadKeys(window.after, reread))
        self.job = replace(
            self.job,
            rereads=self._outstanding(),
            rows=self.job.rows + len(kept),
            chunks=self.job.chunks + 1,
        )
        return Emission(chunk, kept, self.job)

    def _repeat(self, window: ChunkWindow) -> None:
        """Queue a read again. Reads of later rows are dropped, because the repeated one may end
        earlier.
        """
        if window.keys is not None:
            self._open.remove(window)
            self._rereads.appendleft(RereadKeys(window.after, window.keys))
            return
        for other in list(self._open):
            if other.keys is None:
                self._open.remove(other)
        self._after, self._whole = window.after, False

    def _outstanding(self) -> tuple[RereadKeys, ...]:
        """Everything that is still to be read again, including running reads."""
        under_way = (RereadKeys(w.after, w.keys) for w in self._open if w.keys is not None)
        return (*under_way, *self._rereads)
