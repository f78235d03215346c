"""Runs the executor of one system: commands from the log into the legacy system, receipts back.

A batch of commands is one legacy transaction (effects, markers, ledger rows), then one log
transaction a partition (receipts, audit records, offsets). Killed in between, the commands come
again, the ledger knows them, and their receipts are written then. Where there is no ledger, a log
transaction a partition with intents comes first, and what comes again is asked for in the system.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter

from bridge.commands.batch import BatchExecution
from bridge.commands.contract import (
    CrashPointHook,
    Epochs,
    NoEpochs,
    elapsed,
    no_crash_points,
)
from bridge.commands.held.commands import HeldCommands
from bridge.commands.held.find import find_held
from bridge.commands.incoming import CommandDecoder, IncomingCommand, PartitionBatch
from bridge.commands.receipts.builder import CommandLifecycle
from bridge.commands.receipts.committer import ReceiptCommitter
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.receipts.masked_result import masked_paths
from bridge.commands.strategy.contract import ExecutionStrategy
from bridge.commands.strategy.intent import IntentStrategy
from bridge.commands.strategy.intent_log import IntentLog
from bridge.commands.strategy.ledger import LedgerOwnership, LedgerStrategy
from bridge.connector import LedgerWriter, Writer
from bridge.log.group_progress import GroupProgress
from bridge.log.partition_owner import ObservedGroup, PartitionOwner, own_partitions
from bridge.log.port import Log, Record, RecordsRemoved, TopicPartition
from bridge.log.system_topics import ENTRY_OVERHEAD, SystemTopicCodec
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.specs import SystemSpec
from bridge.observe import CommandsHeld, Observer, ignore
from bridge.ports.entity_mapping import EntityMapping
from bridge.waiting import PartWaiting

IDLE = 0.5
BATCH = 500
ASKED_BATCH = 50
"""Records a batch where there is no ledger: so many commands at most are in doubt after a crash."""
OFFSETS_EVERY = 0.5
"""Seconds between transactions that only move offsets (past commands of other systems)."""
MAX_HELD = 50_000
"""Held commands of a process, which keeps them in memory: with more it reads no further."""
TAKE_UP_EVERY_S = 0.2
"""Seconds between looks for held commands whose time has come."""
WAITS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds to wait while a side is away, from the first time on."""


def executor_group(bridge: str, system: str) -> str:
    """The consumer group of a system's executor."""
    return f"{bridge}.executor.{system}"


def _now() -> datetime:
    return datetime.now(UTC)


class CommandWatch(ObservedGroup):
    """Refuses to go on after commands that were removed before they were executed."""

    def removed(self, error: RecordsRemoved) -> None:
        """Raises ConfigurationError that says how a person lets it go on."""
        super().removed(error)
        raise ConfigurationError(
            f"{error}. No command is executed until a person has said that those are given up: "
            f"find out from who sends them what they were, then `bridgectl log offsets skip "
            f"{error.group}` and start the bridge again"
        )


class AssignmentWatch:
    """`Rebalance` of a member: that its partitions changed, and whoever else wants to know."""

    def __init__(self, owners: LedgerOwnership | None) -> None:
        self._owners = owners
        self.changed = True

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `bridge.log.port.Rebalance`."""
        self.changed = True
        if self._owners is not None:
            await self._owners.revoked(partitions)

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """As `bridge.log.port.Rebalance`: each begins where it was."""
        del partitions
        self.changed = True
        return None


class CommandExecutor:
    """One member of a system's executor group."""

    def __init__(
        self,
        system: SystemSpec,
        *,
        bridge: str,
        log: Log,
        codec: SystemTopicCodec,
        writer: Writer,
        ledger: bool,
        tables: Mapping[str, EntityMapping],
        epochs: Epochs | None = None,
        observer: Observer = ignore,
        clock: Callable[[], datetime] = _now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        steps: CrashPointHook = no_crash_points,
        session_timeout: float = 10.0,
        max_held: int = MAX_HELD,
    ) -> None:
        self._bridge = bridge
        self._log = log
        self._codec = codec
        self._writer = writer
        self._waiting = PartWaiting("commands", system.name, observer)
        self._watch = CommandWatch(observer)
        self._progress = GroupProgress(executor_group(bridge, system.name), observer, clock)
        self._clock = clock
        self._sleep = sleep
        self._session_timeout = session_timeout
        self._group = executor_group(bridge, system.name)
        self._items = CommandDecoder(system.name, codec, clock)
        instance = secrets.token_hex(8)
        self._answered = ReceiptIndex(log, codec, instance)
        self._epochs = epochs or NoEpochs()
        self._ends = ReceiptCommitter(
            self._group,
            codec,
            self._answered,
            observer,
            room=log.max_record_bytes - ENTRY_OVERHEAD,
            steps=steps,
        )
        self._owners: LedgerOwnership | None = None
        carrier: ExecutionStrategy
        if ledger:
            if not isinstance(writer, LedgerWriter):
                raise ConfigurationError(
                    f"system {system.name!r}: its connector declares a ledger, but its writer is "
                    "no LedgerWriter"
                )
            self._owners = LedgerOwnership(writer, self._group)
            carrier = LedgerStrategy(writer, self._owners, clock=clock, sleep=sleep, steps=steps)
        else:
            intents = IntentLog(
                instance, codec, self._answered, clock=clock, steps=steps, told=self._ends.told
            )
            carrier = IntentStrategy(
                writer,
                intents,
                self._answered,
                fresh_for=session_timeout / 2,
                clock=clock,
                sleep=sleep,
                steps=steps,
            )
        self._assignment = AssignmentWatch(self._owners)
        self._held = HeldCommands()
        self._max_held = max_held
        self._told_held: set[str] = set()
        self._observer = observer
        self._system = system.name
        self._took_up_at = 0.0
        self._batch = BATCH if ledger else ASKED_BATCH
        self._execution = BatchExecution(
            {command.qualified: command for command in system.commands},
            tables,
            carrier,
            self._answered,
            self._epochs,
            held=self._held,
            masked=masked_paths(system.entities),
            clock=clock,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Execute commands until `stop` is set; ends after the batch under way.

        Raises ConfigurationError when the ledger isn't there, and what a broken log raises.
        """
        try:
            await self._prepare(stop)
            # Told to end meanwhile: then nobody joins a group, nor waits for a log that is away.
            if not stop.is_set():
                await self._run(stop)
        finally:
            await self._answered.close()
            await self._epochs.close()

    async def _prepare(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                await self._writer.prepare()
                # All receipts that there are: before there are commands that would wait for it.
                await self._answered.catch_up()
                break
            except RetryLater as error:
                await self._sleep(WAITS[min(failures, len(WAITS) - 1)])
                failures += 1
                self._waiting.tried(failures, str(error))

    async def _run(self, stop: asyncio.Event) -> None:
        async with own_partitions(
            self._log,
            self._bridge,
            self._group,
            [self._codec.topic("command")],
            self._assignment,
            watch=self._watch,
            session_timeout=self._session_timeout,
        ) as owned:
            failures = 0
            while not stop.is_set():
                try:
                    through, why = await self._step(owned), self._execution.why
                    await self._take_up(owned)
                except RetryLater as error:
                    through, why = False, str(error)
                failures = 0 if through else failures + 1
                self._waiting.tried(failures, why)
                self._progress.note(owes=not through, progressed=through, reason=why)
                if not through:
                    await _pause(owned, WAITS[min(failures, len(WAITS)) - 1])
            await self._ends.move_offsets(owned)

    async def _step(self, owned: PartitionOwner) -> bool:
        """One batch; False when some of it has to wait."""
        if len(self._held) >= self._max_held:
            await _pause(owned, IDLE)
            # Its partitions may have changed meanwhile, and with them what it holds.
            await self._find_held(owned)
            return True
        records = await owned.read(self._batch, IDLE)
        try:
            await self._find_held(owned)
            parts = await self._items.parts(records)
            through = await self._take(owned, parts)
            courses = await self._carried_out(parts, owned)
        except RetryLater:
            # The log or the registry is away; nothing is written, so all of it comes again.
            _again(owned, _first_offsets(records))
            raise
        for place, part in parts.items():
            try:
                upto = await self._ends.write(owned, place, part, courses[place])
            except RetryLater:
                # The effects are there; the ledger answers for them next time.
                upto = part.records[0].offset
            if upto is not None:
                _again(owned, {place: upto})
                through = False
            self._keep_held(part, courses[place])
        await self._ends.move_offsets(owned, OFFSETS_EVERY)
        return through

    async def _take(
        self, owned: PartitionOwner, parts: dict[TopicPartition, PartitionBatch]
    ) -> bool:
        """Own the partitions of commands in the ledger too, where there is one; False when some
        turned out to be somebody else's: those parts are left out.
        """
        if self._owners is None:
            return True
        offsets = {place: part.records[0].offset for place, part in parts.items() if part.items}
        lost = await self._owners.take(owned, offsets)
        _again(owned, {place: offsets[place] for place in lost})
        for place in lost:
            del parts[place]
        return not lost

    def _keep_held(
        self, part: PartitionBatch, courses: Mapping[int, CommandLifecycle | None]
    ) -> None:
        """Those of a part that the log has as held by now."""
        for offset, course in courses.items():
            item = part.items[offset]
            held = course is not None and course.held and course.command.id in self._answered.held
            if held and isinstance(item, IncomingCommand):
                self._held.add(item)

    async def _find_held(self, owned: PartitionOwner) -> None:
        """Learn which commands of new partitions are held, in front of any that comes after them."""
        if not self._assignment.changed:
            return
        places = owned.member.assignment()
        await self._answered.catch_up()
        self._held.keep(places)
        known = {item.command.id for item in self._held}
        missing = {
            command_id: held
            for command_id, held in self._answered.held.items()
            if command_id not in known and self._items.is_own(held.key)
        }
        for item in await find_held(self._log, self._items, places, missing):
            self._held.add(item)
        self._assignment.changed = owned.member.assignment() != places

    async def _take_up(self, owned: PartitionOwner) -> None:
        """Go on with held commands whose time has come, or is over."""
        if elapsed() - self._took_up_at < TAKE_UP_EVERY_S:
            return
        self._took_up_at = elapsed()
        if not self._assignment.changed:
            due = self._held.due(self._clock(), self._batch)
            if due.items and self._owners is not None:
                places = {item.place for item in due.items}
                offsets = {place: owned.member.position(place) for place in places}
                lost = await self._owners.take(owned, offsets)
                due.items = [item for item in due.items if item.place not in lost]
            if due.items:
                courses = await self._execution.carry_out(due.items, owned, due)
                ended: dict[TopicPartition, list[tuple[IncomingCommand, CommandLifecycle]]] = {}
                for item, course in zip(due.items, courses, strict=True):
                    if course is not None:
                        ended.setdefault(item.place, []).append((item, course))
                for place, pairs in ended.items():
                    await self._ends.write_held(owned, place, pairs)
                for item, course in zip(due.items, courses, strict=True):
                    if course is not None and not course.held:
                        self._held.remove(item)
        self._tell_held()

    def _tell_held(self) -> None:
        """Once for each declaration, and once more when it goes on."""
        waiting = {item.command.name for item in self._held}
        for name, declaration in list(self._held.declarations.items()):
            if name not in waiting:
                self._held.lift(name)
            elif name not in self._told_held:
                self._told_held.add(name)
                why = (
                    f"{declaration.reason}. They are tried again by themselves, once a minute at the "
                    "least, until their deadlines; `bridgectl commands --state waiting` lists them"
                )
                self._observer(CommandsHeld(self._system, name, "held", why))
        for name in self._told_held - self._held.declarations.keys():
            self._told_held.discard(name)
            self._observer(CommandsHeld(self._system, name, "released"))

    async def _carried_out(
        self, parts: Mapping[TopicPartition, PartitionBatch], owned: PartitionOwner
    ) -> dict[TopicPartition, dict[int, CommandLifecycle | None]]:
        """The courses of each partition, by offset."""
        items = {
            (place, offset): item
            for place, part in parts.items()
            for offset, item in sorted(part.items.items(), key=itemgetter(0))
            if isinstance(item, IncomingCommand)
        }
        carried_out = await self._execution.carry_out(list(items.values()), owned)
        courses: dict[TopicPartition, dict[int, CommandLifecycle | None]] = {
            place: {} for place in parts
        }
        for (place, offset), course in zip(items, carried_out, strict=True):
            courses[place][offset] = course
        return courses


def _first_offsets(records: Sequence[Record]) -> dict[TopicPartition, int]:
    first: dict[TopicPartition, int] = {}
    for record in records:
        first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
    return first


def _again(owned: PartitionOwner, offsets: Mapping[TopicPartition, int]) -> None:
    """Read these partitions again from here, as far as they are still ours."""
    mine = owned.member.assignment()
    for place, offset in offsets.items():
        if place in mine:
            owned.member.seek(place, offset)


async def _pause(owned: PartitionOwner, seconds: float) -> None:
    """Wait without giving up membership: read, with everything paused."""
    owned.member.pause(owned.member.assignment())
    try:
        _again(owned, _first_offsets(await owned.read(1, seconds)))
    except RetryLater:
        await asyncio.sleep(seconds)
    finally:
        owned.member.resume(owned.member.assignment())
