"""Executes a batch of commands: decides, reconciles those in doubt, runs the rest in waves,
finishes each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeGuard

from bridge.commands.batch_progress import BatchProgress, waves
from bridge.commands.contract import Epochs, PartitionTransactions
from bridge.commands.decision.decide import Await, Execute, Hold, Refuse, decide, refuse_reused_key
from bridge.commands.held.commands import DueCommands, HeldCommands, waits_after
from bridge.commands.incoming import IncomingCommand
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.receipts.builder import (
    failed,
    held_back,
    reconciled,
    refused,
    succeeded,
    unknown,
    unproven,
)
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.receipts.masked_result import MaskedPaths
from bridge.commands.receipts.outcome_table import RecordedOutcome
from bridge.commands.strategy.contract import (
    ExecutionResult,
    ExecutionStrategy,
    PendingCommand,
    Reconciled,
)
from bridge.connector import Done
from bridge.model.error_text import error_message
from bridge.model.errors import (
    ConfigurationError,
    Fenced,
    MissingRight,
    OutcomeUnknown,
    RetryLater,
)
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import CommandSpec
from bridge.ports.entity_mapping import EntityMapping


class BatchExecution:
    """Executes batches of one system's commands. Used by one task.

    wait_reason: what the last batch waits for; empty if it waits for nothing, or only for its
        partition.
    """

    def __init__(
        self,
        commands: Mapping[str, CommandSpec],
        tables: Mapping[str, EntityMapping],
        strategy: ExecutionStrategy,
        index: ReceiptIndex,
        epochs: Epochs,
        *,
        held: HeldCommands | None = None,
        masked: MaskedPaths = frozenset(),
        clock: Callable[[], datetime],
    ) -> None:
        self._masked = masked
        self._commands = commands
        self._tables = tables
        self._strategy = strategy
        self._index = index
        self._epochs = epochs
        self._held = HeldCommands() if held is None else held
        self.wait_reason = ""
        self._clock = clock

    async def execute(
        self,
        commands: Sequence[IncomingCommand],
        owned: PartitionTransactions,
        due: DueCommands | None = None,
    ) -> list[CommandLifecycle | None]:
        """The lifecycle of each command, aligned; None for one that has to be retried later (the
        legacy system is unavailable, or a lock is held), and then for all later ones of its key.
        due: not None if these are held commands that are retried.
        Raises RetryLater while the log is unavailable.
        """
        batch = BatchProgress([None] * len(commands), due)
        self.wait_reason = ""
        if commands:
            await self._index.catch_up()
        for wave in waves([command.key for command in commands]):
            admitted = [
                self._admit(index, commands[index], batch)
                for index in wave
                if commands[index].key not in batch.waiting_keys
            ]
            await self._verify_successes(batch, commands)
            pending = [command for command in admitted if command is not None]
            not_started = await self._reconcile(pending, batch)
            starting = [command for command in not_started if self._starts(command, batch)]
            if starting:
                results = await self._strategy.execute(starting, owned)
                await self._update_epoch(results, batch)
                self._finish_wave(starting, results, batch)
        return batch.lifecycles

    def _admit(
        self, index: int, incoming: IncomingCommand, batch: BatchProgress
    ) -> PendingCommand | None:
        """The command with its decision; None if it already has its receipt."""
        now, command = self._clock(), incoming.command
        lifecycle = batch.lifecycles[index] = CommandLifecycle(command)
        recorded = batch.outcomes.get(command.id) or self._index.get(command.id)
        is_same = recorded is not None and recorded.is_for(command.digest)
        if is_same and recorded is not None and recorded.outcome != Outcome.UNKNOWN_OUTCOME:
            is_disputed = command.id in batch.disputed
            lifecycle.answer_from_log(Outcome.UNKNOWN_OUTCOME if is_disputed else recorded.outcome)
            is_logged = batch.outcomes.get(command.id) is None
            if not is_disputed and recorded.outcome == Outcome.SUCCEEDED and is_logged:
                batch.unverified.append(index)
            return None
        held_record = self._index.held.get(command.id) if batch.due is None else None
        if held_record is not None and held_record.digest == command.digest:
            return None  # Its first record is retried.
        unreadable = self._index.unreadable_outcome(command.id)
        if is_same and unreadable:
            reason = f"{unreadable}, although the version of legacy-bridge that wrote it does"
            receipt = unknown(command, incoming.target, reason, now)
            lifecycle.finish(receipt, superseded=True)
            return None
        decision = decide(command, incoming.target, self._commands, self._tables, now)
        if is_same:
            lifecycle.doubt("its last receipt in the log says that it may have taken effect", now)
        elif batch.due is None:
            lifecycle.receive(now)
            if not isinstance(decision, Refuse):
                lifecycle.validate(now)
            if recorded is not None or held_record is not None:
                decision = refuse_reused_key(command, decision)
        pending = PendingCommand(index, incoming, lifecycle, decision, is_intended=is_same)
        pending.is_doubtful = self._strategy.is_doubtful(pending)
        return pending

    async def _verify_successes(
        self, batch: BatchProgress, commands: Sequence[IncomingCommand]
    ) -> None:
        """Check receipts that claim success: anybody who can write to the log may have written
        one.
        """
        unverified, batch.unverified = batch.unverified, []
        if not unverified:
            return
        problems = await self._strategy.verify_successes([commands[index] for index in unverified])
        for index, problem in zip(unverified, problems, strict=True):
            incoming, lifecycle = commands[index], batch.lifecycles[index]
            if isinstance(problem, RetryLater):
                batch.wait(index, incoming.key)
                self.wait_reason = str(problem)
            elif problem is not None and lifecycle is not None:
                batch.disputed.add(incoming.command.id)
                now = self._clock()
                lifecycle.reopen(now)
                lifecycle.finish(unproven(incoming.command, incoming.target, str(problem), now))

    async def _reconcile(
        self, pending: Sequence[PendingCommand], batch: BatchProgress
    ) -> list[PendingCommand]:
        """Return those that certainly had no effect; the others end or wait."""
        doubtful = [command for command in pending if command.is_doubtful]
        if not doubtful:
            return list(pending)
        results = await self._strategy.reconcile(doubtful)
        await self._update_epoch(results, batch)
        ended = set()
        for command, result in zip(doubtful, results, strict=True):
            if result is not None:
                ended.add(command.index)
                self._finish(command, result, batch)
        return [command for command in pending if command.index not in ended]

    async def _update_epoch(
        self, results: Sequence[ExecutionResult | None], batch: BatchProgress
    ) -> None:
        """Call it after the effects, so that no receipt names an epoch that had ended before
        them.
        """
        effects = [result.done if isinstance(result, Reconciled) else result for result in results]
        if any(isinstance(done, Done) and done.position is not None for done in effects):
            # The log is unavailable: a receipt without a position is better than none.
            with contextlib.suppress(RetryLater):
                batch.epoch = None
                batch.epoch = await self._epochs.now()

    def _starts(self, pending: PendingCommand, batch: BatchProgress) -> bool:
        """Whether to execute it now; otherwise it ends here, or waits for a person."""
        decision, now = pending.decision, self._clock()
        if isinstance(decision, Refuse):
            receipt = refused(
                pending.incoming.command, decision.outcome, decision.code, decision.message, now
            )
            batch.finish(pending, receipt)
        elif isinstance(decision, Await):
            pending.lifecycle.await_approval(decision.message, now)
        elif isinstance(decision, Hold):
            self._hold_declaration(pending, decision.message, batch)
        elif reason := self._hold_reason(pending, batch):
            self._hold(pending, reason, batch)
            return False
        return isinstance(decision, Execute)

    def _hold_reason(self, pending: PendingCommand, batch: BatchProgress) -> str:
        """Why a command that could start is held back; empty if it isn't."""
        first_held = batch.held_by_key.get(pending.incoming.key)
        if first_held is not None:
            return waits_after(first_held)
        if batch.due is not None and pending.id in batch.due.startable_ids:
            return ""
        return self._held.reason(pending.incoming)

    def _hold_declaration(self, pending: PendingCommand, reason: str, batch: BatchProgress) -> None:
        """Hold it back, and from now on the other commands of its declaration too."""
        name = pending.incoming.command.name
        if name not in batch.held_names:
            batch.held_names.add(name)
            self._held.refuse(name, reason)
        self._hold(pending, reason, batch)

    def _hold(self, pending: PendingCommand, reason: str, batch: BatchProgress) -> None:
        batch.held_by_key.setdefault(pending.incoming.key, pending.id)
        pending.lifecycle.hold(held_back(pending.incoming.command, reason, self._clock()))

    def _finish_wave(
        self,
        pending: Sequence[PendingCommand],
        results: Sequence[ExecutionResult],
        batch: BatchProgress,
    ) -> None:
        granted_names = {
            command.incoming.command.name
            for command, result in zip(pending, results, strict=True)
            if isinstance(result, Done) and not result.repeated
        }
        for command, result in zip(pending, results, strict=True):
            if not _is_missing_something(result) or self._held.is_refused_itself(command.incoming):
                self._finish(command, result, batch)
            elif command.incoming.command.name in granted_names:
                # Only this one: retrying it at once shows whether the permission is missing now.
                self._hold(command, error_message(result), batch)
            else:
                self._hold_declaration(command, error_message(result), batch)

    def _finish(
        self, pending: PendingCommand, result: ExecutionResult, batch: BatchProgress
    ) -> None:
        name = pending.incoming.command.name
        if isinstance(result, RetryLater):
            self._held.postpone(name)
        elif not isinstance(result, (Fenced, OutcomeUnknown, RecordedOutcome)):
            self._held.lift(name)
        if isinstance(result, (RetryLater, Fenced)):
            batch.wait(pending.index, pending.incoming.key)
            if isinstance(result, RetryLater):
                self.wait_reason = str(result)
        elif isinstance(result, RecordedOutcome):
            pending.lifecycle.answer_from_log(result.outcome)
        else:
            if isinstance(result, Done) and not result.repeated:
                self._held.note_effect(name)
            if isinstance(result, Reconciled) or (isinstance(result, Done) and result.repeated):
                pending.lifecycle.mark_repeated()
            batch.finish(pending, self._receipt(pending, result, batch.epoch))

    def _receipt(
        self, pending: PendingCommand, result: Done | Reconciled | Exception, epoch: int | None
    ) -> Receipt:
        """The receipt of a command that has ended with this result."""
        command, at = pending.incoming.command, self._clock()
        decision = pending.decision if isinstance(pending.decision, Execute) else None
        match result:
            case Done():
                return succeeded(command, decision, result, at, epoch, masked=self._masked)
            case Reconciled(done=done) if done.repeated:
                # Confirmed by the ledger itself, so no explanation is needed.
                return succeeded(command, None, done, at, epoch, masked=self._masked)
            case Reconciled(done=done):
                return reconciled(command, decision, done, at, epoch, masked=self._masked)
            case OutcomeUnknown():
                return unknown(command, pending.incoming.target, str(result), at)
            case _:
                return failed(command, result, at)


def _is_missing_something(
    result: ExecutionResult,
) -> TypeGuard[ConfigurationError | MissingRight]:
    """Whether a person can provide what this command was refused for."""
    return isinstance(result, (ConfigurationError, MissingRight))
