"""A database that is polled and whose reads, of a copy that is late, don't say what they show.

A poll reads the current rows that have changed since the last one; its records carry the time of
another clock. Shares no code with the cache, and none with `oracle_database` but its row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.gateway.cache.cache_state import CacheBounds, CacheState, ReadAnswer
from bridge.gateway.cache.change_effect import EntityChange
from bridge.gateway.cache.fences import InFlight
from tests.gateway.cache.oracle_database import CAPTURE, KEYS, LINE, PARENTS, LineRow, payload_of

Choose = Callable[[Sequence[Any]], Any]

POLLED_KEYS = KEYS[:2]
COPY_LAG, CLOCK_DIFFERENCE = 1.0, 5.0
ALLOWANCE = COPY_LAG + CLOCK_DIFFERENCE


@dataclass
class PolledRead:
    """A read in flight; `rows` once it was answered."""

    read: InFlight
    rows: dict[bytes, LineRow | None] = field(default_factory=dict)


class PolledDatabase:
    """Rows by key with their history; the clock goes on by steps."""

    def __init__(self, bounds: CacheBounds) -> None:
        self.cache = CacheState(
            CAPTURE, reports_visibility=False, allowance=ALLOWANCE, bounds=bounds
        )
        self.now = 100.0
        self.history: dict[bytes, list[LineRow | None]] = {key: [None] for key in POLLED_KEYS}
        self.written: dict[bytes, list[float]] = {key: [0.0] for key in POLLED_KEYS}
        self.polled = dict.fromkeys(POLLED_KEYS, 0)
        self.log: deque[tuple[EntityChange, int]] = deque()
        self.claimed = dict.fromkeys(POLLED_KEYS, 0)
        self.served = dict.fromkeys(POLLED_KEYS, 0)
        self.reads: list[PolledRead] = []
        self.writes = 0

    def pass_time(self, choose: Choose) -> None:
        """The clock goes on."""
        self.now += choose([0.5, 1.0, 4.0])

    def write(self, choose: Choose) -> None:
        """A row is written or deleted; the copy shows it later."""
        key = choose(POLLED_KEYS)
        self.writes += 1
        gone = self.history[key][-1] is not None and choose([True, False])
        row = None if gone else LineRow(self.writes, choose(PARENTS), "x")
        self.history[key].append(row)
        self.written[key].append(self.now)

    def poll(self, choose: Choose) -> None:
        """Changed rows become records, on a clock that is wrong, or some time after the poll."""
        captured_at = self.now + choose([-CLOCK_DIFFERENCE, -1.0, 0.0, CLOCK_DIFFERENCE])
        for key, states in self.history.items():
            if self.polled[key] < len(states) - 1:
                self.polled[key] = len(states) - 1
                self._log(key, captured_at, snapshot=False)

    def snapshot(self, choose: Choose) -> None:
        """A snapshot reads a row into the log."""
        key = choose(POLLED_KEYS)
        if self.history[key][-1] is not None:
            self._log(key, self.now, snapshot=True)

    def apply(self, _: Choose) -> None:
        """The follower applies the next record."""
        if self.log:
            change, index = self.log.popleft()
            self.cache.apply(change)
            self.claimed[change.key] = max(self.claimed[change.key], index)

    def begin(self, _: Choose) -> None:
        """A read begins."""
        if len(self.reads) < 4:
            self.reads.append(PolledRead(self.cache.begin_read(self.now)))

    def see(self, choose: Choose) -> None:
        """A read is answered by the source."""
        waiting = [read for read in self.reads if not read.rows]
        if waiting:
            copied_until = self.now - COPY_LAG
            choose(waiting).rows = {
                key: states[sum(at <= copied_until for at in self.written[key]) - 1]
                for key, states in self.history.items()
            }

    def come_back(self, choose: Choose) -> None:
        """An answer arrives."""
        ready = [read for read in self.reads if read.rows]
        if not ready:
            return
        read = choose(ready)
        rows = [(key, payload_of(row)) for key, row in read.rows.items()]
        self.cache.fill(ReadAnswer(read.read, None, self.now), CAPTURE, LINE, rows)
        self.reads.remove(read)
        self.cache.end_read(read.read, None)

    def evict(self, choose: Choose) -> None:
        """A key is evicted."""
        self.cache.evict(CAPTURE, LINE, choose(POLLED_KEYS))

    def check(self) -> None:
        """What is held is a state at or after the claim, and never an earlier one than before."""
        for key, states in self.history.items():
            entry = self.cache.get(CAPTURE, LINE, key)
            if entry is None:
                continue
            least = max(self.claimed[key], self.served[key])
            payloads = [payload_of(row) for row in states[least:]]
            assert entry.payload in payloads, f"{key!r}: {entry.payload!r} is none of {payloads}"
            self.served[key] = least + payloads.index(entry.payload)

    def _log(self, key: bytes, captured_at: float, *, snapshot: bool) -> None:
        states = self.history[key]
        row = states[-1]
        after = None if row is None else row._asdict()
        change = EntityChange(
            LINE, key, payload_of(row), after, None, captured_at, snapshot=snapshot
        )
        self.log.append((change, len(states) - 1))


POLLED_STEPS = (
    *("pass_time", "pass_time", "write", "write", "poll", "poll", "snapshot", "apply", "apply"),
    *("apply", "begin", "begin", "see", "see", "come_back", "come_back", "evict"),
)
