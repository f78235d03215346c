"""Resumes the held commands of one process: finds them in the log, retries them, reports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from bridge.commands.batch import BatchExecution
from bridge.commands.boot_clock import elapsed
from bridge.commands.group import AssignmentWatch
from bridge.commands.held.commands import HeldCommands
from bridge.commands.held.find import find_held
from bridge.commands.incoming import CommandDecoder, IncomingCommand, PartitionBatch
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.receipts.committer import ReceiptCommitter
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.contract import ExecutionStrategy
from bridge.log.partition_owner import PartitionOwner
from bridge.log.port import Log, TopicPartition
from bridge.observe import CommandsHeld, Observer

MIN_PAUSE_S = 0.2
"""Seconds between two checks for held commands that are due."""


class HeldCommandResumer:
    """Used by the executor's task, between its batches.

    held: the held commands of this process's partitions.
    assignment: whether those partitions have changed.
    """

    def __init__(
        self,
        system: str,
        held: HeldCommands,
        *,
        log: Log,
        decoder: CommandDecoder,
        index: ReceiptIndex,
        committer: ReceiptCommitter,
        execution: BatchExecution,
        assignment: AssignmentWatch,
        strategy: ExecutionStrategy,
        observer: Observer,
        clock: Callable[[], datetime],
    ) -> None:
        self._system = system
        self._held = held
        self._log = log
        self._decoder = decoder
        self._index = index
        self._committer = committer
        self._execution = execution
        self._assignment = assignment
        self._strategy = strategy
        self._observer = observer
        self._clock = clock
        self._checked_at = 0.0
        self._reported: set[str] = set()

    async def find(self, owned: PartitionOwner) -> None:
        """Find the held commands of newly assigned partitions. Call it before any later command is
        executed. Raises RetryLater while the log is unavailable.
        """
        if not self._assignment.changed:
            return
        partitions = owned.member.assignment()
        await self._index.catch_up()
        self._held.keep(partitions)
        held_ids = {command.command.id for command in self._held}
        missing = {
            command_id: record
            for command_id, record in self._index.held.items()
            if command_id not in held_ids and self._decoder.is_own(record.key)
        }
        for command in await find_held(self._log, self._decoder, partitions, missing):
            self._held.add(command)
        self._assignment.changed = owned.member.assignment() != partitions

    def keep(
        self, batch: PartitionBatch, lifecycles: Mapping[int, CommandLifecycle | None]
    ) -> None:
        """Keep those commands of a batch that the log records as held; `lifecycles` by offset."""
        for offset, lifecycle in lifecycles.items():
            command = batch.commands[offset]
            if (
                isinstance(command, IncomingCommand)
                and lifecycle is not None
                and lifecycle.is_held
                and lifecycle.command.id in self._index.held
            ):
                self._held.add(command)

    async def resume(self, owned: PartitionOwner) -> None:
        """Try the held commands that are due. Raises RetryLater while the log is unavailable."""
        if elapsed() - self._checked_at < MIN_PAUSE_S:
            return
        self._checked_at = elapsed()
        if not self._assignment.changed:
            await self._try_due(owned)
        self._report()

    async def _try_due(self, owned: PartitionOwner) -> None:
        due = self._held.due(self._clock(), self._strategy.batch_size)
        if due.commands:
            partitions = {command.partition for command in due.commands}
            offsets = {partition: owned.member.position(partition) for partition in partitions}
            lost = await self._strategy.own(owned, offsets)
            due.commands = [command for command in due.commands if command.partition not in lost]
        if not due.commands:
            return
        lifecycles = await self._execution.execute(due.commands, owned, due)
        tried: dict[TopicPartition, list[tuple[IncomingCommand, CommandLifecycle]]] = {}
        for command, lifecycle in zip(due.commands, lifecycles, strict=True):
            if lifecycle is not None:
                tried.setdefault(command.partition, []).append((command, lifecycle))
        for partition, pairs in tried.items():
            await self._committer.write_held(owned, partition, pairs)
        for pairs in tried.values():
            for command, lifecycle in pairs:
                if not lifecycle.is_held:
                    self._held.remove(command)

    def _report(self) -> None:
        """Report each declaration once when it is held back, and once when it is released."""
        waiting = {command.command.name for command in self._held}
        for name, declaration in list(self._held.declarations.items()):
            if name not in waiting:
                self._held.lift(name)
            elif name not in self._reported:
                self._reported.add(name)
                reason = (
                    f"{declaration.reason}. They are retried automatically, at least once a "
                    "minute, until their deadlines; `bridgectl commands --state waiting` lists them"
                )
                self._observer(CommandsHeld(self._system, name, "held", reason))
        for name in self._reported - self._held.declarations.keys():
            self._reported.discard(name)
            self._observer(CommandsHeld(self._system, name, "released"))
