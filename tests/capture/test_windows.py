"""Watermark windows against a simulated table, its stream and reads that see less than the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.capture.checkpoint.record import SnapshotJob
from bridge.capture.snapshot.visibility import PriorTransactions, StreamedTransactions
from bridge.capture.snapshot.windows import ChunkWindow, ChunkWindows, Emission, KeyChange
from bridge.connector import Chunk, Column, Shape
from bridge.model.types import FieldType
from bridge.plan.steps import Wire
from tests.example_counts import examples

SHAPE = Shape("t", (Column("id", "int", FieldType("integer"), "python", key=True),), Wire.PYTHON)


@dataclass(frozen=True)
class SeenTransactions:
    """The transactions that a read showed."""

    transactions: frozenset[int]
    running: frozenset[int] = frozenset()

    def contains(self, transaction: int) -> bool:
        return transaction in self.transactions

    def unseen(self) -> frozenset[int]:
        return self.running


@dataclass
class SimulatedTable:
    """A table whose commits reach the stream at once and reads only when they are shown."""

    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    history: list[tuple[int, int, tuple[int, int] | None, bool]] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)
    stream: list[Any] = field(default_factory=list)
    version: int = 0

    def write(self, key: int, action: str, hide: bool) -> None:
        self.version += 1
        old = self.rows.get(key)
        if action == "delete":
            if old is None:
                return
            del self.rows[key]
            new, complete = None, True
        elif old is not None and action == "small":
            new, complete = (self.version, old[1]), False
            self.rows[key] = new
        else:
            new, complete = (self.version, self.version), True
            self.rows[key] = new
        self.history.append((self.version, key, new, complete))
        self.stream.append((self.version, key, new, complete))
        if hide:
            self.hidden.add(self.version)

    def visible(self) -> tuple[dict[int, tuple[int, int]], SeenTransactions]:
        rows: dict[int, tuple[int, int]] = {}
        for version, key, new, _ in self.history:
            if version in self.hidden:
                continue
            if new is None:
                rows.pop(key, None)
            else:
                rows[key] = new
        versions = frozenset(version for version, *_ in self.history if version not in self.hidden)
        return rows, SeenTransactions(versions)


class WindowsDriver:
    """Drives `Windows` as the snapshot engine does, one small step at a time."""

    def __init__(self, world: SimulatedTable, job: SnapshotJob, limit: int) -> None:
        self.world = world
        self.limit = limit
        self.windows = ChunkWindows(job)
        self.unproven = StreamedTransactions()
        self.log: dict[int, tuple[int, int | None]] = {}
        self.saved = self.windows.job
        self.reading: ChunkWindow | None = None
        self.marks = 0
        self.emitted: list[int] = []

    def mark(self) -> str:
        self.marks += 1
        self.world.stream.append(f"m{self.marks}")
        return f"m{self.marks}"

    def snapshot_step(self) -> None:
        if self.reading is None:
            read = self.windows.next_read() if self.windows.open_count < 2 else None
            if read is not None:
                self.reading = self.windows.open_window(read, self.mark())
            return
        window = self.reading
        if window.chunk is None:
            rows, seen = self.world.visible()
            start = -1 if window.after is None else int(str(window.after[0]))
            keys = sorted(key for key in rows if key > start)[: self.limit + 1]
            page = keys[: self.limit]
            last = [page[-1]] if len(keys) > self.limit else None
            chunk = Chunk(SHAPE, [(key, rows[key]) for key in page], last, seen)
            self.windows.receive_chunk(window, chunk)
            return
        self.windows.set_high_watermark(window, self.mark())
        self.reading = None

    def stream_step(self) -> None:
        if not self.world.stream:
            return
        event = self.world.stream.pop(0)
        if isinstance(event, str):
            window = self.windows.pass_watermark(event, self.unproven.last_number)
            if window is not None:
                self.emit(window)
            return
        version, key, new, complete = event
        self.unproven.add([version])
        self.windows.note_changes([KeyChange(b"%d" % key, complete)])
        if new is None:
            self.log.pop(key, None)
            return
        latest = self.log.get(key)
        assert latest is None or latest[0] < version, "the log went back"
        self.log[key] = (version, new[1] if complete else (latest[1] if latest else None))

    def emit(self, window: ChunkWindow) -> None:
        assert window.chunk is not None
        seen = window.chunk.visibility
        assert seen is not None
        missing = self.unproven.first_unseen(seen, window.before)
        keys: Sequence[bytes] = [b"%d" % row[0] for row in window.chunk.rows]
        emission: Emission | None = self.windows.emit(window, keys, missing)
        if emission is None:
            return
        for index in emission.rows:
            key, row = emission.chunk.rows[index]
            latest = self.log.get(key)
            assert latest is None or latest[0] <= row[0], "a snapshot row put the log back"
            self.log[key] = row
            self.emitted.append(key)
        self.saved = emission.job

    def crash(self) -> None:
        """Everything in memory is gone; the job continues from what was written."""
        self.windows = ChunkWindows(self.saved)
        self.reading = None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.integers(0, 7),
            st.sampled_from(["full", "small", "delete"]),
            st.booleans(),
        ),
        st.just(("snapshot",)),
        st.just(("stream",)),
        st.just(("show",)),
        st.just(("crash",)),
    ),
    min_size=40,
    max_size=160,
)


@settings(max_examples=examples(300), deadline=None)
@given(st.sets(st.integers(0, 7)), st.integers(1, 4), ACTIONS)
def test_the_log_ends_equal_to_the_table_whatever_happens_meanwhile(
    present: set[int], limit: int, actions: list[Any]
) -> None:
    world = SimulatedTable()
    for key in sorted(present):
        world.write(key, "full", hide=False)
    world.stream.clear()
    capture = WindowsDriver(world, SnapshotJob("j", "e"), limit)
    for action in actions:
        match action:
            case ("write", key, kind, hide):
                world.write(key, kind, hide)
            case ("snapshot",):
                capture.snapshot_step()
            case ("stream",):
                capture.stream_step()
            case ("show",):
                world.hidden.clear()
            case _:
                capture.crash()
    world.hidden.clear()
    for _ in range(2_000):
        if capture.windows.done and not world.stream:
            break
        capture.snapshot_step()
        capture.stream_step()
    assert capture.windows.done
    assert {key: row[0] for key, row in capture.log.items()} == {
        key: row[0] for key, row in world.rows.items()
    }
    assert capture.log == world.rows


def test_a_quiet_table_is_emitted_once_in_key_order() -> None:
    world = SimulatedTable()
    for key in range(8):
        world.write(key, "full", hide=False)
    world.stream.clear()
    capture = WindowsDriver(world, SnapshotJob("j", "e"), 3)
    while not capture.windows.done:
        capture.snapshot_step()
        capture.stream_step()
    assert capture.emitted == list(range(8))
    assert capture.saved.rows == 8


def test_a_chunk_that_lacks_an_earlier_transaction_is_read_again() -> None:
    world = SimulatedTable()
    world.write(1, "full", hide=False)
    world.stream.clear()
    capture = WindowsDriver(world, SnapshotJob("j", "e"), 3)
    world.write(1, "full", hide=True)
    capture.stream_step()
    for _ in range(12):
        capture.snapshot_step()
        capture.stream_step()
    assert capture.emitted == []
    world.hidden.clear()
    for _ in range(12):
        capture.snapshot_step()
        capture.stream_step()
    assert capture.emitted == [1]


def test_a_row_told_only_in_part_is_read_again_in_a_later_chunk() -> None:
    world = SimulatedTable()
    world.write(1, "full", hide=False)
    world.stream.clear()
    capture = WindowsDriver(world, SnapshotJob("j", "e"), 3)
    capture.snapshot_step()
    capture.stream_step()
    world.write(1, "small", hide=False)
    while not capture.windows.done:
        capture.snapshot_step()
        capture.stream_step()
    assert capture.log == world.rows
    assert capture.saved.chunks == 2


def test_a_window_in_which_too_much_changed_is_read_again_smaller() -> None:
    windows = ChunkWindows(SnapshotJob("j", "e"))
    read = windows.next_read()
    assert read is not None
    window = windows.open_window(read, "low")
    windows.pass_watermark("low", 0)
    windows.note_changes([KeyChange(b"%d" % number, complete=True) for number in range(200_001)])
    windows.receive_chunk(window, Chunk(SHAPE, [(1,)], None))
    windows.set_high_watermark(window, "high")
    assert windows.pass_watermark("high", 0) is window
    assert windows.emit(window, [b"x"], None) is None
    assert windows.shrink
    assert windows.next_read() == read


def test_what_a_read_showed_is_forgotten() -> None:
    unproven = StreamedTransactions()
    unproven.add([10, 11])
    assert unproven.first_unseen(SeenTransactions(frozenset({10})), unproven.last_number) == 11
    assert len(unproven) == 1
    assert unproven.first_unseen(SeenTransactions(frozenset({11})), unproven.last_number) is None
    assert len(unproven) == 0


def test_what_an_earlier_connection_may_have_streamed_is_waited_for_until_shown_or_streamed() -> (
    None
):
    here = StreamedTransactions()
    earlier = PriorTransactions()
    for transactions in ([4], [5]):
        here.add(transactions)
        earlier.add(transactions)
    running = frozenset({3, 4, 5, 6, 7})
    unseen = [earlier.first_unseen(SeenTransactions(frozenset({1, 2}), running), [here])]
    unseen.append(earlier.first_unseen(SeenTransactions(frozenset({1, 2, 3}), running), [here]))
    # The fourth may be the rest of one that was begun before: it has to be shown.
    unseen.append(earlier.first_unseen(SeenTransactions(frozenset({1, 2, 3, 4}), running), [here]))
    earlier.add([6])
    unseen.append(earlier.first_unseen(SeenTransactions(frozenset({1, 2, 3, 4}), running), [here]))
    # What began after the first read is not of an earlier connection.
    unseen.append(
        earlier.first_unseen(SeenTransactions(frozenset({1, 2, 3, 4, 7}), running | {8}), [here])
    )
    assert unseen == [3, 4, 6, 7, None]


def test_what_is_to_be_read_again_survives_a_crash() -> None:
    world = SimulatedTable()
    for key in (1, 2, 3):
        world.write(key, "full", hide=False)
    world.stream.clear()
    capture = WindowsDriver(world, SnapshotJob("j", "e"), 1)
    capture.snapshot_step()
    capture.stream_step()
    world.write(1, "small", hide=False)
    while not capture.saved.rereads:
        capture.snapshot_step()
        capture.stream_step()
    capture.crash()
    while not capture.windows.done:
        capture.snapshot_step()
        capture.stream_step()
    assert capture.log == world.rows
