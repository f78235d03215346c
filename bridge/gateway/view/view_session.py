"""One run of a view over an opened file: reads the log, applies it, publishes at checkpoints.

What follows a cold file is applied as it comes until it is all there. From then on changes wait until
the rest of their source's transaction has certainly arrived: a checkpoint of capture was read, then the
high watermarks of all followed partitions were taken, and the follower has read up to these. So an order,
its lines and its customer are always of one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal, NamedTuple

from bridge.concurrent_works import first_to_end
from bridge.gateway.copy.system_topics import CopyTopics
from bridge.gateway.follower import TopicFollower, TransactionGrouping
from bridge.gateway.freshness.capture_doubts import SupportsCheckpoint
from bridge.gateway.freshness.doubts import CAPTURES_LETTERS
from bridge.gateway.view.view_applier import ReadBatch, ViewApplier, ViewChange
from bridge.gateway.view.view_parts import ViewParts
from bridge.gateway.view.view_records import ViewRecords
from bridge.gateway.view.view_topics import ViewRebuild, starting_offsets
from bridge.log.port import Gap, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.log.system_topics import UnreadableRecord
from bridge.model.error_text import describe_error
from bridge.model.position import MAX_NUMBER, format_position, parse_position
from bridge.model.system_records import DeadLetter
from bridge.retry import RetryPolicy, retry

MAX_WAITING_CHANGES: Final = 50_000
"""Of source transactions whose rest hasn't arrived. With more, they are applied as they come, and nothing
is served until everything that the log has now was applied.
"""
INLINE_CHANGES: Final = 200
"""So few are written at once, in the event loop's own thread, within some milliseconds."""
FIRST_PASSES: Final = 2
"""Checkpoints to pass until rows are served: the second one was read after everything that was applied
before it.
"""

Mode = Literal["building", "catching up", "live"]


class ViewStopped(Exception):
    """The view can't follow the log now; the file is kept. The reason is for people."""


class ReadCheckpoint(NamedTuple):
    """A place in the history of the source up to which everything is in the log. read: how many of
    capture's own records were read until then.
    """

    epoch: int
    position: str
    read: int


class ViewSession:
    """Implements `AppliesRecords`. `run` is called once.

    is_new: whether the file has no rows yet.
    published: called whenever readers see more, or something else.
    """

    def __init__(
        self,
        parts: ViewParts,
        applier: ViewApplier,
        records: ViewRecords,
        *,
        is_new: bool,
        published: Callable[[], None],
    ) -> None:
        self.mode: Mode = "building" if is_new else "catching up"
        self.is_serving = False
        self._parts = parts
        self._applier = applier
        self._records = records
        self._published = published
        self._topics = CopyTopics.of(parts.bridge, parts.system, parts.entities)
        self._batch = ReadBatch()
        self._letters: dict[tuple[int, int], DeadLetter | None] = {}
        self._grouping: TransactionGrouping[ViewChange] = TransactionGrouping()
        self._waiting: dict[TopicPartition, set[int]] = {}
        self._offsets: dict[TopicPartition, int] = {}
        self._capture: list[SupportsCheckpoint | Mapping[str, str]] = []
        self._captured = 0
        self._checkpoint: ReadCheckpoint | None = None
        self._checkpoint_read = asyncio.Event()
        self._passes = 0
        self._using_store = asyncio.Lock()
        self._thread_work: asyncio.Future[Any] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._starts: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._fell_behind = asyncio.Event()

    @property
    def share(self) -> float:
        """Of what there was to read at the start, how much was applied: 0 to 1."""
        total = sum(max(0, end - self._starts.get(at, 0)) for at, end in self._ends.items())
        done = sum(
            max(0, min(end, self._offsets.get(at, 0)) - self._starts.get(at, 0))
            for at, end in self._ends.items()
        )
        return done / total if total else 0.0

    async def run(self) -> None:
        """Follow until cancelled. Raises RetryLater, ConfigurationError, ViewRebuild, sqlite3.Error,
        DamagedFile.
        """
        parts, state = self._parts, self._applier.state
        self._starts = await starting_offsets(parts.log, self._topics, parts.system, state)
        self._offsets = dict(self._starts)
        self._ends = dict(await parts.log.high_watermarks(self._starts))
        await self._read_letters()
        follower = TopicFollower(
            parts.log, self._topics.names, self, report=parts.report, starts=self._starts
        )
        try:
            await first_to_end(
                follower.run(), self._go_live(follower), self._pass_checkpoints(follower)
            )
        finally:
            self.is_serving = False
            # The file is in use until these end; each has raised what it had to.
            ending = [each for each in (self._writing, self._thread_work) if each is not None]
            await asyncio.gather(*ending, return_exceptions=True)

    async def _read_letters(self) -> None:
        """Before any change: a later row or delete ends the doubt of its key."""
        dead = {at: offset for at, offset in self._starts.items() if at.topic == self._topics.dead}
        ends = await self._parts.log.end_offsets(dead)
        async with aclosing(read_to_end(self._parts.log, dead, ends)) as batches:
            async for records in batches:
                letters = [
                    await self._letter(record) for record in records if record[5] is not None
                ]
                self._batch.letters += [letter for letter in letters if letter is not None]
        self._starts.update(ends)
        self._offsets.update(ends)

    async def prepare(self, records: Sequence[Record]) -> None:
        """Fetch schemas and dead letters, and wait until what was read before is written."""
        topics = self._topics
        await self._records.learn(
            self._parts.registry, [each for each in records if each[0] in topics.changes]
        )
        self._letters = {
            (each[1], each[2]): await self._letter(each)
            for each in records
            if each[0] == topics.dead and each[5] is not None
        }
        if self._grouping.waiting > MAX_WAITING_CHANGES:
            await self._fall_behind()
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing
        if self.mode != "live":
            # No batch is read while the mode changes.
            async with self._using_store:
                return

    def apply(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """As AppliesRecords."""
        topic = partition[0]
        entity = self._topics.changes.get(topic)
        if entity is not None:
            self._applier.note_last(partition, records[-1])
            if self.mode != "live":
                self._batch.changes.append((entity, records))
                return
            for record in records:
                change = self._applier.change(entity, record)
                if change is not None:
                    self._group(change)
        elif topic == self._topics.dead:
            letters = [self._letters.get((each[1], each[2])) for each in records]
            self._batch.letters += [letter for letter in letters if letter is not None]
        else:
            for record in records:
                self._apply_capture(record)

    def reach(self, positions: Mapping[TopicPartition, int]) -> None:
        """As AppliesRecords."""
        self._offsets.update(positions)
        if self.mode != "live" and (self._batch.changes or self._batch.letters):
            batch, self._batch = self._batch, ReadBatch()
            batch.offsets = dict(self._offsets)
            self._writing = asyncio.ensure_future(self._write(batch))

    def doubt(self, partition: TopicPartition, gap: Gap) -> None:
        """Changes are missing: only the topic from its beginning tells which rows there are."""
        if partition.topic in self._topics.changes or partition.topic == self._topics.dead:
            raise ViewRebuild(f"records of {partition.topic} were removed before they were read")
        del gap

    def _group(self, change: ViewChange) -> None:
        parts = change.parts
        position = self._position() if parts is None else parts.position
        self._grouping.add(position, change)
        self._waiting.setdefault(change.partition, set()).add(change.offset)

    def _position(self) -> str:
        return self._checkpoint.position if self._checkpoint else format_position(0, 0, 0)

    async def _letter(self, record: Record) -> DeadLetter | None:
        """The letter, if it is about an entity of this view."""
        codec, topics = self._parts.codec, self._topics
        try:
            letter = await codec.decode("dead", record[5] or b"")
        except UnreadableRecord as error:
            self._parts.report_record(str(error))
            return None
        if not isinstance(letter, DeadLetter) or letter.kind not in CAPTURES_LETTERS:
            return None
        system, _, entity = letter.source.partition(".")
        is_held = system == self._parts.system and entity in topics.changes.values()
        return letter if is_held else None

    def _apply_capture(self, record: Record) -> None:
        """A record of capture's own: a checkpoint, a barrier, or a status."""
        key, value, capture = record[4], record[5], self._parts.capture
        if value is None or key not in (self._parts.system.encode(), capture.barrier_key):
            return
        checkpoint: Any = None
        try:
            if record[0] == self._topics.status:
                self._note_capture(capture.troubles(value))
            elif key == capture.barrier_key:
                checkpoint = capture.barrier(value)
            else:
                checkpoint = capture.checkpoint(value)
                self._note_capture(checkpoint)
        except Exception as error:
            raise ViewStopped(
                f"a record of capture can't be read: {describe_error(error)}"
            ) from error
        if checkpoint is not None:
            self._checkpoint = ReadCheckpoint(checkpoint.epoch, checkpoint.position, self._captured)
            self._checkpoint_read.set()

    def _note_capture(self, record: SupportsCheckpoint | Mapping[str, str]) -> None:
        self._capture.append(record)
        self._captured += 1

    async def _go_live(self, follower: TopicFollower) -> None:
        """Change the mode each time that what there was to read was applied."""
        while True:
            await follower.wait_until_reached(self._ends)
            async with self._using_store:
                # A batch that is not written yet waits for the store, before any that are published.
                if self.mode == "building":
                    await self._in_thread(self._applier.finish)
                self.mode = "live"
                self._passes = 0
            self._checkpoint_read.set()
            await self._fell_behind.wait()
            self._fell_behind.clear()
            self._ends = dict(await self._watermarks(follower))

    async def _pass_checkpoints(self, follower: TopicFollower) -> None:
        """Publish at each checkpoint that was passed."""
        while True:
            await self._checkpoint_read.wait()
            self._checkpoint_read.clear()
            checkpoint = self._checkpoint
            if checkpoint is None or self.mode != "live":
                continue
            await follower.wait_until_reached(await self._watermarks(follower))
            async with self._using_store:
                if self.mode == "live":
                    await self._publish(checkpoint)

    async def _watermarks(self, follower: TopicFollower) -> Mapping[TopicPartition, int]:
        """Of all partitions that are followed."""
        return await retry(
            lambda: self._parts.log.high_watermarks(follower.positions),
            RetryPolicy(),
            report=self._parts.report,
        )

    async def _publish(self, checkpoint: ReadCheckpoint) -> None:
        """Everything up to the checkpoint has arrived."""
        parsed = parse_position(checkpoint.position)
        is_end = parsed.number == MAX_NUMBER
        released = self._grouping.release(checkpoint.position, ends_here=is_end)
        changes = [change for whole in released for change in whole.changes]
        for change in changes:
            self._waiting[change.partition].discard(change.offset)
        fewer = len(self._capture) - (self._captured - checkpoint.read)
        capture, self._capture = self._capture[:fewer], self._capture[fewer:]
        letters, self._batch.letters = self._batch.letters, []
        position = checkpoint.position
        if not is_end and parsed.commit:
            position = format_position(parsed.epoch, parsed.commit - 1, MAX_NUMBER)
        offsets = {
            at: min(self._waiting.get(at) or (offset,)) for at, offset in self._offsets.items()
        }

        def write() -> None:
            self._applier.read_capture(capture)
            self._applier.read_letters(letters)
            self._applier.publish(changes, offsets, checkpoint.epoch, position)

        if len(changes) <= INLINE_CHANGES:
            write()
        else:
            await self._in_thread(write)
        self._passes += 1
        self.is_serving = self._passes >= FIRST_PASSES
        if not self.is_serving:
            self._checkpoint_read.set()
        self._published()

    async def _fall_behind(self) -> None:
        """Too much waits: apply it as it is, and what follows, until it is all there again."""
        async with self._using_store:
            self.is_serving, self.mode = False, "catching up"
            self._fell_behind.set()
            self._published()
            changes = [
                change
                for whole in self._grouping.release(format_position(0xFFFF, 0, 0))
                for change in whole.changes
            ]
            self._grouping, self._waiting = TransactionGrouping(), {}
            state, offsets = self._applier.state, dict(self._offsets)
            await self._in_thread(
                lambda: self._applier.publish(changes, offsets, state.epoch, state.position)
            )

    async def _write(self, batch: ReadBatch) -> None:
        async with self._using_store:
            is_new = self.mode == "building"
            await self._in_thread(lambda: self._applier.load(batch, is_new=is_new))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Not interrupted by a cancellation: the file is in use until it ends."""
        self._thread_work = asyncio.get_running_loop().run_in_executor(None, work)
        await asyncio.shield(self._thread_work)
