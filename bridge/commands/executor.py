"""Runs the executor of one system: executes commands from the log, writes their receipts.

A batch of commands is one legacy transaction (effects, markers, ledger rows), then one log
transaction per partition (receipts, audit records, offsets). After a kill in between, the commands
are delivered again, found in the ledger, and their receipts are written then. Without a ledger, a
log transaction per partition with intents comes first, and redelivered commands are probed in the
system.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from operator import itemgetter

from bridge.closing import close_all
from bridge.commands.batch import BatchExecution
from bridge.commands.contract import (
    CrashPointHook,
    Epochs,
    NoEpochs,
    no_crash_points,
)
from bridge.commands.group import AssignmentWatch, RemovedCommandsGuard, executor_group
from bridge.commands.held.commands import HeldCommands
from bridge.commands.held.resume import HeldCommandResumer
from bridge.commands.incoming import CommandDecoder, IncomingCommand, PartitionBatch
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.reading import first_offsets, pause_reading, seek_back
from bridge.commands.receipts.committer import ReceiptCommitter
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.receipts.masked_result import masked_paths
from bridge.commands.strategy.contract import ExecutionStrategy
from bridge.commands.strategy.intent import IntentStrategy
from bridge.commands.strategy.intent_log import IntentLog
from bridge.commands.strategy.ledger import LedgerStrategy
from bridge.connector import LedgerWriter, Writer
from bridge.log.group_progress import GroupProgress
from bridge.log.partition_owner import PartitionOwner, own_partitions
from bridge.log.port import Log, TopicPartition
from bridge.log.system_topics import ENTRY_OVERHEAD, SystemTopicCodec
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.specs import SystemSpec
from bridge.observe import Observer, ignore
from bridge.ports.entity_mapping import EntityMapping
from bridge.waiting import PartWaiting

READ_TIMEOUT_S = 0.5
OFFSETS_PAUSE_S = 0.5
"""Seconds between transactions that only move offsets (past commands of other systems)."""
MAX_HELD_COMMANDS = 50_000
"""Maximum held commands, which a process keeps in memory: at the limit it stops reading."""
RETRY_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds to wait while the log or the system is unavailable, by consecutive failure."""


def _now() -> datetime:
    return datetime.now(UTC)


class CommandExecutor:
    """One member of a system's executor group.

    ledger: whether the writer keeps a ledger; it must be a LedgerWriter then.
    tables: by bare entity name.
    epochs: of the system's history; None if it is not captured.
    crash_point: called at each point where a crash would separate two actions.
    session_timeout: seconds without a heartbeat after which a member loses its partitions.
    max_held: how many held commands are kept in memory.
    """

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
        crash_point: CrashPointHook = no_crash_points,
        session_timeout: float = 10.0,
        max_held: int = MAX_HELD_COMMANDS,
    ) -> None:
        self._bridge = bridge
        self._log = log
        self._codec = codec
        self._writer = writer
        self._clock = clock
        self._sleep = sleep
        self._crash_point = crash_point
        self._session_timeout = session_timeout
        self._max_held = max_held
        self._group = executor_group(bridge, system.name)
        self._removed_guard = RemovedCommandsGuard(observer)
        self._availability = PartWaiting("commands", system.name, observer)
        self._progress = GroupProgress(self._group, observer, clock)
        self._decoder = CommandDecoder(system.name, codec, clock)
        instance = secrets.token_hex(8)
        self._index = ReceiptIndex(log, codec, instance)
        self._epochs = epochs or NoEpochs()
        self._committer = self._new_committer(observer)
        self._strategy = self._new_strategy(system.name, instance, ledger=ledger)
        self._assignment = AssignmentWatch(self._strategy.revoked)
        self._held = HeldCommands()
        self._execution = self._new_execution(system, tables)
        self._resumer = self._new_resumer(system.name, observer)

    async def run(self, stop: asyncio.Event) -> None:
        """Execute commands until `stop` is set; returns after the current batch.

        Raises ConfigurationError if the ledger doesn't exist, and the errors of a damaged log.
        """
        try:
            await self._prepare(stop)
            # Stopped meanwhile: don't join the group, nor wait for an unavailable log.
            if not stop.is_set():
                await self._run(stop)
        finally:
            await close_all(self._index.close, self._epochs.close)

    async def _prepare(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                await self._writer.prepare()
                # Read all existing receipts before there are commands that would wait for that.
                await self._index.catch_up()
                break
            except RetryLater as error:
                await self._sleep(RETRY_PAUSES_S[min(failures, len(RETRY_PAUSES_S) - 1)])
                failures += 1
                self._availability.tried(failures, str(error))

    async def _run(self, stop: asyncio.Event) -> None:
        async with own_partitions(
            self._log,
            self._bridge,
            self._group,
            [self._codec.topic("command")],
            self._assignment,
            watch=self._removed_guard,
            session_timeout=self._session_timeout,
        ) as owned:
            failures = 0
            while not stop.is_set():
                try:
                    is_done, reason = await self._step(owned), self._execution.wait_reason
                    await self._resumer.resume(owned)
                except RetryLater as error:
                    is_done, reason = False, str(error)
                failures = 0 if is_done else failures + 1
                self._availability.tried(failures, reason)
                self._progress.note(owes=not is_done, progressed=is_done, reason=reason)
                if not is_done:
                    pause_s = RETRY_PAUSES_S[min(failures, len(RETRY_PAUSES_S)) - 1]
                    await pause_reading(owned, pause_s)
            await self._committer.move_offsets(owned)

    async def _step(self, owned: PartitionOwner) -> bool:
        """Execute one batch; False if some of it has to wait."""
        if len(self._held) >= self._max_held:
            await pause_reading(owned, READ_TIMEOUT_S)
            # The partitions may have changed meanwhile, and with them the held commands.
            await self._resumer.find(owned)
            return True
        records = await owned.read(self._strategy.batch_size, READ_TIMEOUT_S)
        try:
            await self._resumer.find(owned)
            batches = await self._decoder.by_partition(records)
            is_done = await self._own(owned, batches)
            lifecycles = await self._execute(batches, owned)
        except RetryLater:
            # The log or the registry is unavailable; nothing was written, so the whole batch is
            # delivered again.
            seek_back(owned, first_offsets(records))
            raise
        for partition, batch in batches.items():
            try:
                waiting_offset = await self._committer.write(
                    owned, partition, batch, lifecycles[partition]
                )
            except RetryLater:
                # The effects took place; the ledger will report them next time.
                waiting_offset = batch.records[0].offset
            if waiting_offset is not None:
                seek_back(owned, {partition: waiting_offset})
                is_done = False
            self._resumer.keep(batch, lifecycles[partition])
        await self._committer.move_offsets(owned, OFFSETS_PAUSE_S)
        return is_done

    async def _own(
        self, owned: PartitionOwner, batches: dict[TopicPartition, PartitionBatch]
    ) -> bool:
        """Take ownership of the commands' partitions in the system too, if it records that; False
        if some turned out to belong to another process: their batches are dropped.
        """
        offsets = {
            partition: batch.records[0].offset
            for partition, batch in batches.items()
            if batch.commands
        }
        lost = await self._strategy.own(owned, offsets)
        seek_back(owned, {partition: offsets[partition] for partition in lost})
        for partition in lost:
            del batches[partition]
        return not lost

    async def _execute(
        self, batches: Mapping[TopicPartition, PartitionBatch], owned: PartitionOwner
    ) -> dict[TopicPartition, dict[int, CommandLifecycle | None]]:
        """The lifecycles of each partition's commands, by offset."""
        commands = {
            (partition, offset): command
            for partition, batch in batches.items()
            for offset, command in sorted(batch.commands.items(), key=itemgetter(0))
            if isinstance(command, IncomingCommand)
        }
        executed = await self._execution.execute(list(commands.values()), owned)
        lifecycles: dict[TopicPartition, dict[int, CommandLifecycle | None]] = {
            partition: {} for partition in batches
        }
        for (partition, offset), lifecycle in zip(commands, executed, strict=True):
            lifecycles[partition][offset] = lifecycle
        return lifecycles

    def _new_committer(self, observer: Observer) -> ReceiptCommitter:
        return ReceiptCommitter(
            self._group,
            self._codec,
            self._index,
            observer,
            max_record_bytes=self._log.max_record_bytes - ENTRY_OVERHEAD,
            crash_point=self._crash_point,
        )

    def _new_strategy(self, system: str, instance: str, *, ledger: bool) -> ExecutionStrategy:
        if ledger:
            if not isinstance(self._writer, LedgerWriter):
                raise ConfigurationError(
                    f"system {system!r}: its connector declares a ledger, but its writer is "
                    "no LedgerWriter"
                )
            return LedgerStrategy(
                self._writer,
                self._group,
                clock=self._clock,
                sleep=self._sleep,
                crash_point=self._crash_point,
            )
        intents = IntentLog(
            instance,
            self._codec,
            self._index,
            clock=self._clock,
            crash_point=self._crash_point,
            report=self._committer.report_transitions,
        )
        return IntentStrategy(
            self._writer,
            intents,
            self._index,
            start_within_s=self._session_timeout / 2,
            clock=self._clock,
            sleep=self._sleep,
            crash_point=self._crash_point,
        )

    def _new_execution(
        self, system: SystemSpec, tables: Mapping[str, EntityMapping]
    ) -> BatchExecution:
        return BatchExecution(
            {command.qualified: command for command in system.commands},
            tables,
            self._strategy,
            self._index,
            self._epochs,
            held=self._held,
            masked=masked_paths(system.entities),
            clock=self._clock,
        )

    def _new_resumer(self, system: str, observer: Observer) -> HeldCommandResumer:
        return HeldCommandResumer(
            system,
            self._held,
            log=self._log,
            decoder=self._decoder,
            index=self._index,
            committer=self._committer,
            execution=self._execution,
            assignment=self._assignment,
            strategy=self._strategy,
            observer=observer,
            clock=self._clock,
        )
