"""Executes effects in a system with a ledger, which records what happened, so repeating is
harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.commands.codes import only_claims_id
from bridge.commands.contract import CrashPointHook, PartitionTransactions
from bridge.commands.decision.decide import Execute, Refuse
from bridge.commands.incoming import IncomingCommand
from bridge.commands.strategy.contract import ExecutionResult, PendingCommand, Reconciled
from bridge.commands.strategy.effects import EffectsFailed, run_effects
from bridge.commands.strategy.ledger_ownership import LedgerOwnership, ledger_partition
from bridge.commands.strategy.probes import EffectProber
from bridge.connector import Done, Effect, LedgerWriter
from bridge.log.port import TopicPartition
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater

LEDGER_BATCH_SIZE = 500
NO_ROW = "the ledger has no row of it"
LOST_COMMIT_RETRIES_S = (0.05, 0.2, 1.0)
"""Seconds between executions of the same effects after a commit whose response was lost: the ledger
reports those that took effect.
"""


class LedgerStrategy:
    """`ExecutionStrategy` for writers with a ledger."""

    def __init__(
        self,
        writer: LedgerWriter,
        group: str,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        crash_point: CrashPointHook,
    ) -> None:
        self._writer = writer
        self._ownership = LedgerOwnership(writer, group)
        self._prober = EffectProber(writer, sleep=sleep, crash_point=crash_point)
        self._clock = clock
        self._sleep = sleep
        self._crash_point = crash_point

    @property
    def batch_size(self) -> int:
        """As `ExecutionStrategy.batch_size`."""
        return LEDGER_BATCH_SIZE

    async def own(
        self, owned: PartitionTransactions, offsets: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """As `ExecutionStrategy.own`: in the ledger."""
        return await self._ownership.take(owned, offsets)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `ExecutionStrategy.revoked`."""
        await self._ownership.revoked(partitions)

    def is_doubtful(self, pending: PendingCommand) -> bool:
        """Execution itself consults the ledger. Commands that aren't executed, because they are too
        late or no longer declared, may have taken effect before a crash.
        """
        decision = pending.decision
        if pending.is_intended:
            return True
        if isinstance(decision, Refuse):
            return not only_claims_id(decision.code)
        return not isinstance(decision, Execute)

    async def reconcile(self, doubtful: Sequence[PendingCommand]) -> list[ExecutionResult | None]:
        """As `ExecutionStrategy.reconcile`. The ledger knows nothing of commands that were started
        before the system had one.
        """
        rows = await self._ledger_rows([pending.incoming for pending in doubtful])
        return [
            OutcomeUnknown(
                "according to the log it was started while its system had no ledger, or it "
                "succeeded; "
                f"{NO_ROW}"
            )
            if row is None and pending.is_intended
            else row
            for pending, row in zip(doubtful, rows, strict=True)
        ]

    async def verify_successes(self, commands: Sequence[IncomingCommand]) -> list[Exception | None]:
        """As `ExecutionStrategy.verify_successes`: a command that took effect has a row in the
        ledger for as long as it may be delivered again.
        """
        problems: list[Exception | None] = []
        for row in await self._ledger_rows(commands):
            if row is None:
                problems.append(OutcomeUnknown(NO_ROW))
            else:
                problems.append(row if isinstance(row, Exception) else None)
        return problems

    async def execute(
        self, pending: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> list[ExecutionResult]:
        """As `ExecutionStrategy.execute`: one legacy transaction; commands of partitions that now
        belong to another process in the ledger are Fenced.
        """
        del owned
        now = self._clock()
        for command in pending:
            command.lifecycle.execute(now)
        results = await self._results(pending)
        for command, result in zip(pending, results, strict=True):
            if isinstance(result, Fenced):
                self._ownership.drop(command.partition)
        return results

    async def _ledger_rows(
        self, commands: Sequence[IncomingCommand]
    ) -> list[Reconciled | Exception | None]:
        """The ledger's rows of these, by id and digest only."""
        return await self._prober.probe(
            [
                Effect(incoming.command.id, incoming.command.digest, "", {}, "", {})
                for incoming in commands
            ]
        )

    async def _results(self, pending: Sequence[PendingCommand]) -> list[ExecutionResult]:
        try:
            return [*await self._run(pending)]
        except (RetryLater, OutcomeUnknown) as error:
            return [RetryLater(str(error)) for _ in pending]
        except EffectsFailed as failure:
            if len(pending) == 1:
                return [await self._result_after_failure(pending[0], failure)]
        # One by one, to find which is at fault; the ledger reports those that already took effect.
        results: list[ExecutionResult] = []
        unavailable: RetryLater | None = None
        for command in pending:
            [result] = [unavailable] if unavailable is not None else await self._results([command])
            results.append(result)
            if unavailable is None and isinstance(result, RetryLater):
                unavailable = await self._prober.find_unavailable()
        return results

    async def _result_after_failure(
        self, command: PendingCommand, failure: EffectsFailed
    ) -> ExecutionResult:
        """The result, from the ledger, of a command at which the Writer itself failed."""
        (result,) = await self.reconcile([command])
        if result is None:
            return failure.as_refusal()
        return RetryLater(str(result)) if isinstance(result, OutcomeUnknown) else result

    async def _run(self, pending: Sequence[PendingCommand]) -> Sequence[Done | Exception]:
        effects = [
            replace(command.effect, partition=ledger_partition(command.partition))
            for command in pending
            if command.effect is not None
        ]
        for pause_s in LOST_COMMIT_RETRIES_S:
            try:
                return await run_effects(self._writer, effects, self._crash_point)
            except OutcomeUnknown as unknown:
                now = self._clock()
                for command in pending:
                    command.lifecycle.doubt(str(unknown), now)
                await self._sleep(pause_s)
        return await run_effects(self._writer, effects, self._crash_point)
