"""A database with its log, against which a CacheState is checked after every step.

Transactions have numbers in another order than they commit in, become visible to reads later than
the log has them (as with a synchronous standby), and hold their rows until then. Readers begin, see
and come back at times of their own. Nothing here shares code with the cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from bridge.gateway.cache.cache_state import CacheBounds, CacheState, ReadAnswer
from bridge.gateway.cache.change_effect import EntityChange
from bridge.gateway.cache.entry import Scope
from bridge.gateway.cache.fences import InFlight
from bridge.gateway.cache.lists import ListKey, ListShape
from bridge.model.errors import RetryLater

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]

LINE = "line"
KEYS = (b"k1", b"k2", b"k3")
PARENTS = ("P", "Q")
NAMES = ("x", "y")
CAPTURE, OTHER = Scope("", "capture"), Scope("t2", "other")

BY_PARENT = ListShape(("parent",))
CUT = ListShape(("parent",), ("order", "n", "limit", 1))
BY_NAME = ListShape(("name",))
ALL_ROWS = ListShape((), "all", by_values=False)
SHAPES = {BY_PARENT: PARENTS, CUT: PARENTS, BY_NAME: NAMES, ALL_ROWS: ("",)}


class LineRow(NamedTuple):
    """A row, no two of which are equal: `n` counts all writes."""

    n: int
    parent: str
    name: str

    def payload(self, scope: Scope) -> bytes:
        """The row as that scope may see it: the other one may not see names."""
        return f"{self.n}/{self.parent}/{self.name if scope is CAPTURE else '***'}".encode()


@dataclass(frozen=True)
class VisibleNumbers:
    """A read's snapshot."""

    numbers: frozenset[int]
    running: tuple[int, ...]

    def contains(self, transaction: int) -> bool:
        return transaction in self.numbers

    def unseen(self) -> Iterable[int]:
        return self.running


class RowState(NamedTuple):
    """One state of a key."""

    row: LineRow | None
    transaction: int | None


@dataclass
class OpenRead:
    """A read in flight."""

    read: InFlight
    visibility: VisibleNumbers | None = None
    server: str = ""
    rows: dict[bytes, LineRow | None] = field(default_factory=dict)


def in_list(shape: ListShape, value: str, row: LineRow | None) -> bool:
    """Whether the row matches the list's condition."""
    return row is not None and (not shape.fields or getattr(row, shape.fields[0]) == value)


class OracleDatabase:
    """One entity, its history and its log; `claimed` is what the follower has applied."""

    def __init__(self, bounds: CacheBounds, *, is_standby: bool = False) -> None:
        self.bounds = bounds
        self.is_standby = is_standby
        self.cache = CacheState(
            CAPTURE,
            reports_visibility=True,
            allowance=0.0,
            bounds=bounds,
            list_fields={LINE: ["parent"]},
        )
        self.history = {key: [RowState(None, None)] for key in KEYS}
        self.server = ""
        self.visible: set[int] = set()
        #: What reads name as contained: a standby denies some of what it shows for a while.
        self.contained: set[int] = set()
        self.hidden: list[int] = []
        self.log: dict[bytes, deque[tuple[EntityChange, int]]] = {key: deque() for key in KEYS}
        self.logged = dict.fromkeys(KEYS, 0)
        self.truncates: deque[tuple[int, dict[bytes, int]]] = deque()
        self.claimed = dict.fromkeys(KEYS, 0)
        self.served: dict[Any, int] = {}
        self.reads: list[OpenRead] = []
        self.writes = 0
        self.numbers = list(range(1, 7))
        self.risky = 0

    # What happens in the database.

    def commit(self, choose: Choose) -> None:
        """Write one or two rows; their records are in the log at once, and shown later."""
        free = self._free()
        if not free:
            return
        number = self._number(choose)
        for key in dict.fromkeys(choose(free) for _ in range(choose([1, 1, 2]))):
            row = self._written(key, choose)
            index = self._append(key, row, number)
            whole = row is None or self.history[key][-2].row is None or choose([True, False, False])
            self._log(key, index, number, whole=whole, choose=choose)
        self.hidden.append(number)
        if choose([True, False]):
            self._show(number)

    def show(self, choose: Choose) -> None:
        """A transaction becomes visible."""
        if self.hidden:
            self._show(choose(self.hidden))

    def end_oldest(self, _: Choose) -> None:
        """The oldest transaction of a standby ends: it names all that it shows."""
        self.contained |= self.visible

    def lose(self, choose: Choose) -> None:
        """A row is deleted, and no record ever says so: a comparison has to find it."""
        free = [key for key in self._free() if self.history[key][-1].row]
        if free:
            key = choose(free)
            self._append(key, None, None)
            if choose([True, False]):
                self.compare(lambda _: key)

    def compare(self, choose: Choose) -> None:
        """A comparison writes a delete without a transaction for a row that is gone."""
        key = choose(KEYS)
        index = len(self.history[key]) - 1
        if key in self._free() and self.history[key][-1].row is None and index > self.logged[key]:
            self._log(key, index, None)

    def snapshot(self, choose: Choose) -> None:
        """A snapshot reads a row into the log."""
        key = choose(self._free() or [None])
        if key is not None and self.history[key][-1].row is not None:
            self._log(key, len(self.history[key]) - 1, None, snapshot=True)

    def command(self, choose: Choose) -> None:
        """An own command writes a row of which there is no record: its key is dropped."""
        key = choose(self._free() or [None])
        if key is not None:
            self._append(key, self._written(key, choose), None)
            self.cache.drop(LINE, key)
            self.claimed[key] = len(self.history[key]) - 1

    def truncate(self, choose: Choose) -> None:
        """TRUNCATE waits for everybody's rows."""
        if self.hidden or not _is_rare(choose):
            return
        number = self._number(choose)
        indexes = {
            key: self._append(key, None, number) for key in KEYS if self.history[key][-1].row
        }
        self.truncates.append((number, indexes))
        self.logged.update(indexes)
        self.hidden.append(number)

    # What the follower does.

    def apply(self, choose: Choose) -> None:
        """Apply the next record of a partition."""
        waiting = [key for key in KEYS if self.log[key]]
        if not waiting:
            return
        key = choose(waiting)
        change, index = self.log[key][0]
        try:
            self.cache.apply(change)
        except RetryLater:
            assert self.cache.is_full
            return
        self.log[key].popleft()
        self.claimed[key] = max(self.claimed[key], index)

    def apply_truncate(self, _: Choose) -> None:
        """Apply the next TRUNCATE."""
        if not self.truncates or self.cache.is_full:
            return
        number, indexes = self.truncates.popleft()
        self.cache.truncate(LINE, number, 0.0)
        for key, index in indexes.items():
            self.claimed[key] = max(self.claimed[key], index)

    def epoch(self, _: Choose) -> None:
        """A new epoch of capture claims all that is visible now."""
        if self.hidden:
            return
        self.cache.epoch(LINE)
        for key in KEYS:
            self.claimed[key] = len(self.history[key]) - 1

    def reset(self, choose: Choose) -> None:
        """Another server, on which all that was committed is visible."""
        if not _is_rare(choose):
            return
        for number in list(self.hidden):
            self._show(number)
        self.server += "'"
        self.cache.reset(self.server)
        for key in KEYS:
            self.claimed[key] = len(self.history[key]) - 1

    def settle(self, _: Choose) -> None:
        """A barrier was passed, as all was applied."""
        if not any(self.log.values()) and not self.truncates:
            self.cache.settle(self.cache.last_fill)

    # What readers do.

    def begin(self, _: Choose) -> None:
        """A read begins."""
        if len(self.reads) < 4:
            self.reads.append(OpenRead(self.cache.begin_read(0.0)))

    def see(self, choose: Choose) -> None:
        """A read that has begun takes its snapshot."""
        waiting = [read for read in self.reads if read.visibility is None]
        if waiting:
            self._see(choose(waiting))

    def come_back(self, choose: Choose) -> None:
        """A read brings rows and lists."""
        ready = [read for read in self.reads if read.visibility is not None]
        if not ready:
            return
        read = choose(ready)
        answer = ReadAnswer(read.read, read.visibility, 0.0, server=read.server)
        for scope in choose([(CAPTURE,), (CAPTURE,), (OTHER,), (CAPTURE, OTHER)]):
            rows = [(key, payload_of(row, scope)) for key, row in read.rows.items()]
            self.cache.fill(answer, scope, LINE, rows)
            for shape in dict.fromkeys([choose(list(SHAPES)), choose(list(SHAPES))]):
                for value in SHAPES[shape]:
                    members = _members(read, scope, shape, value)
                    self.cache.fill_list(answer, _list_key(scope, shape, value), members)
        self.reads.remove(read)
        self.cache.end_read(read.read, answer)

    def fail(self, choose: Choose) -> None:
        """A read fails."""
        if self.reads:
            read = choose(self.reads)
            self.reads.remove(read)
            self.cache.end_read(read.read, None)

    def evict(self, choose: Choose) -> None:
        """A key is evicted."""
        self.cache.evict(choose([CAPTURE, OTHER]), LINE, choose(KEYS))

    # What has to hold.

    def check(self) -> None:
        """Whatever is held is a state at or after the claim, and never an earlier one than before."""
        for scope in (CAPTURE, OTHER):
            for key in KEYS:
                self._check_row(scope, key)
            for shape, values in SHAPES.items():
                for value in values:
                    self._check_list(scope, shape, value)
        assert self.cache.held_bytes <= self.bounds.bytes
        assert self.cache.fences.transaction_count <= self.bounds.transactions
        assert self.cache.fences.key_count <= self.bounds.fenced_keys + 1

    def finish(self) -> None:
        """Once all is shown, applied and read, nothing is fenced and everything can be stored."""
        for number in list(self.hidden):
            self._show(number)
        self.contained |= self.visible
        for read in list(self.reads):
            self.reads.remove(read)
            self.cache.end_read(read.read, None)
        for _ in range(1_000):
            if not any(self.log.values()) and not self.truncates:
                break
            self._read_all()
            self.apply(lambda options: options[0])
            self.apply_truncate(lambda options: options[0])
        self._read_all()
        assert self.cache.fences.key_count == self.cache.fences.transaction_count == 0
        stored = self._read_all()
        assert stored == len(KEYS)
        self.check()

    def _read_all(self) -> int:
        read = OpenRead(self.cache.begin_read(0.0))
        self._see(read)
        rows = [(key, payload_of(row)) for key, row in read.rows.items()]
        answer = ReadAnswer(read.read, read.visibility, 0.0, server=read.server)
        stored = self.cache.fill(answer, CAPTURE, LINE, rows)
        self.cache.end_read(read.read, answer)
        return stored

    def _check_row(self, scope: Scope, key: bytes) -> None:
        entry = self.cache.get(scope, LINE, key)
        if entry is None:
            return
        name = (scope, key)
        least = max(self.claimed[key], self.served.get(name, 0))
        states = self.history[key]
        self.risky += least > 0
        for index in range(least, len(states)):
            if payload_of(states[index].row, scope) == entry.payload:
                self.served[name] = index
                return
        message = f"{name} is served as {entry.payload!r}, claimed {least} of {states}"
        raise AssertionError(message)

    def _check_list(self, scope: Scope, shape: ListShape, value: str) -> None:
        entry = self.cache.get_list(_list_key(scope, shape, value))
        if entry is None:
            return
        held = dict(zip(entry.members, entry.payloads, strict=True))
        last = max((int(payload.split(b"/")[0]) for payload in held.values()), default=0)
        is_cut = shape is CUT and len(held) == 1
        for key in KEYS:
            name = (scope, shape, value, key)
            least = max(self.claimed[key], 0 if shape is CUT else self.served.get(name, 0))
            for index in range(least, len(self.history[key])):
                row = self.history[key][index].row
                matches = in_list(shape, value, row)
                beyond = matches and is_cut and row is not None and row.n > last
                content = row.payload(scope) if matches and row is not None else None
                if content == held.get(key) or (beyond and key not in held):
                    self.served[name] = index
                    break
            else:
                message = f"{name}: {held}, claimed {least} of {self.history[key]}"
                raise AssertionError(message)

    def _free(self) -> list[bytes]:
        """Keys whose row no hidden transaction holds."""
        return [k for k in KEYS if self.history[k][-1].transaction not in self.hidden] * (
            not self._is_truncating()
        )

    def _is_truncating(self) -> bool:
        return any(number in self.hidden for number, _ in self.truncates)

    def _written(self, key: bytes, choose: Choose) -> LineRow | None:
        self.writes += 1
        if self.history[key][-1].row is not None and choose([True, False, False, False]):
            return None
        return LineRow(self.writes, choose(PARENTS), choose(NAMES))

    def _append(self, key: bytes, row: LineRow | None, number: int | None) -> int:
        self.history[key].append(RowState(row, number))
        return len(self.history[key]) - 1

    def _number(self, choose: Choose) -> int:
        number = choose(self.numbers)
        self.numbers.remove(number)
        self.numbers.append(max([number, *self.numbers]) + 1)
        return int(number)

    def _show(self, number: int) -> None:
        self.hidden.remove(number)
        self.visible.add(number)
        if not self.is_standby:
            self.contained.add(number)

    def _see(self, read: OpenRead) -> None:
        read.server = self.server
        denied = (*self.hidden, *sorted(self.visible - self.contained))
        read.visibility = VisibleNumbers(frozenset(self.contained), denied)
        for key, states in self.history.items():
            read.rows[key] = next(
                state.row for state in reversed(states) if state.transaction not in self.hidden
            )

    def _log(
        self,
        key: bytes,
        index: int,
        number: int | None,
        *,
        snapshot: bool = False,
        whole: bool = True,
        choose: Choose | None = None,
    ) -> None:
        row = self.history[key][index].row
        after = None if row is None else row._asdict()
        payload = payload_of(row)
        if not whole and after is not None and choose is not None:
            del after[choose(["parent", "parent", "parent", "name"])]
            payload = b"partial"
        change = EntityChange(LINE, key, payload, after, number, 0.0, whole, snapshot)
        self.log[key].append((change, index))
        self.logged[key] = index


def payload_of(row: LineRow | None, scope: Scope = CAPTURE) -> bytes | None:
    """The row as entries hold it; None: an absence."""
    return None if row is None else row.payload(scope)


def _is_rare(choose: Choose) -> bool:
    return bool(choose([False, False, False, True]))


def _list_key(scope: Scope, shape: ListShape, value: str) -> ListKey:
    return ListKey(scope, LINE, shape, ((value,),) if shape.fields else ())


def _members(
    read: OpenRead, scope: Scope, shape: ListShape, value: str
) -> list[tuple[bytes, bytes]]:
    rows = [(key, row) for key, row in read.rows.items() if in_list(shape, value, row)]
    pairs = sorted((row.n, key, row.payload(scope)) for key, row in rows if row is not None)
    return [(key, payload) for _, key, payload in pairs][: 1 if shape is CUT else None]


USUAL = (
    *("commit", "commit", "show", "apply", "apply"),
    *("begin", "begin", "see", "see", "come_back", "come_back"),
)
RARE = (
    *("lose", "compare", "snapshot", "fail", "evict", "settle", "command", "end_oldest"),
    *("truncate", "apply_truncate", "epoch", "reset"),
)
