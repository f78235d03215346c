"""Executes effects in a system without a ledger: announces them in the log first, probes when in
doubt.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.commands.boot_clock import elapsed
from bridge.commands.codes import KEY_REUSED
from bridge.commands.contract import AFTER_LEGACY, CrashPointHook, PartitionTransactions
from bridge.commands.incoming import IncomingCommand
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.contract import ExecutionResult, PendingCommand, Reconciled
from bridge.commands.strategy.effects import EffectsFailed, run_effects
from bridge.commands.strategy.intent_log import IntentLog
from bridge.commands.strategy.local_outcomes import LocalOutcomes
from bridge.commands.strategy.probes import EffectProber, effects_of
from bridge.connector import Done, Writer
from bridge.log.port import TopicPartition
from bridge.model.errors import Fenced, OutcomeUnknown, Rejected, RetryLater
from bridge.model.receipt import Outcome

INTENT_BATCH_SIZE = 50
"""Fewer than with a ledger: each of them has to be probed after a crash."""
MAX_UNANSWERED_REQUESTS = 3
"""Maximum requests per command that got no answer and, according to the probe, had no effect."""
MAX_STALE_INTENTS = 3
"""Maximum consecutive intents that are too old by the time they can be read."""


class IntentStrategy:
    """`ExecutionStrategy` for writers without a ledger.

    start_within_s: seconds after its intent within which a command may be started; less than any
        process needs to take over the partition. A process that was suspended for longer, or is
        slow, writes the intent again, which fails if the partition was taken over.
    """

    def __init__(
        self,
        writer: Writer,
        intents: IntentLog,
        index: ReceiptIndex,
        *,
        start_within_s: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        crash_point: CrashPointHook,
    ) -> None:
        self._writer = writer
        self._intents = intents
        self._index = index
        self._local = LocalOutcomes(index)
        self._prober = EffectProber(writer, sleep=sleep, crash_point=crash_point)
        self._start_within_s = start_within_s
        self._clock = clock
        self._crash_point = crash_point
        self._is_unavailable = False

    @property
    def batch_size(self) -> int:
        """As `ExecutionStrategy.batch_size`."""
        return INTENT_BATCH_SIZE

    async def own(
        self, owned: PartitionTransactions, offsets: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """As `ExecutionStrategy.own`: only the log determines who owns a partition."""
        del owned, offsets
        return set()

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `ExecutionStrategy.revoked`: nothing is kept per partition."""
        del partitions

    def is_doubtful(self, pending: PendingCommand) -> bool:
        """As `ExecutionStrategy.is_doubtful`: its last receipt is an intent or an unknown
        outcome.
        """
        return pending.is_intended

    async def reconcile(self, doubtful: Sequence[PendingCommand]) -> list[ExecutionResult | None]:
        """As `ExecutionStrategy.reconcile`: from this process's own knowledge, else by the
        commands' probes.
        """
        results: list[ExecutionResult | None] = []
        to_probe: list[int] = []
        for index, command in enumerate(doubtful):
            command.generation = self._index.generation(command.id)
            is_certain, result = self._local.recall(command)
            results.append(result)
            if not is_certain:
                to_probe.append(index)
        probed = await self._prober.probe(effects_of([doubtful[index] for index in to_probe]))
        for index, result in zip(to_probe, probed, strict=True):
            results[index] = result
            doubtful[index].is_denied = result is None
        return results

    async def verify_successes(self, commands: Sequence[IncomingCommand]) -> list[Exception | None]:
        """As `ExecutionStrategy.verify_successes`: without a ledger only the log can tell."""
        return [None for _ in commands]

    async def execute(
        self, pending: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> list[ExecutionResult]:
        """As `ExecutionStrategy.execute`: intents, effects, and probes for those without an answer,
        until each has its result.
        """
        self._local.forget_receipted()
        results: dict[int, ExecutionResult] = {}
        unanswered: Counter[int] = Counter()
        remaining = list(pending)
        while remaining:
            remaining = await self._round(remaining, results, unanswered, owned)
        return [results[command.index] for command in pending]

    async def _round(
        self,
        commands: Sequence[PendingCommand],
        results: dict[int, ExecutionResult],
        unanswered: Counter[int],
        owned: PartitionTransactions,
    ) -> list[PendingCommand]:
        """Execute these once; returns those that certainly had no effect and are to be retried now:
        they got no answer, or no time was left to start them.
        """
        announced, start_before = await self._announce(commands, results, owned)
        retried: list[PendingCommand] = []
        unknown: list[PendingCommand] = []
        refused: list[PendingCommand] = []
        unavailable: dict[str, tuple[PendingCommand, RetryLater]] = {}
        outcomes = await self._run(announced, start_before)
        for command, outcome in zip(announced, outcomes, strict=True):
            results[command.index] = outcome
            self._local.record(command, outcome)
            if isinstance(outcome, Fenced):
                retried.append(command)
            elif isinstance(outcome, OutcomeUnknown):
                unknown.append(command)
            elif isinstance(outcome, RetryLater):
                unavailable[command.id] = command, outcome
            elif isinstance(outcome, Exception) and command.is_denied:
                refused.append(command)
        await self._recheck_refused(refused, results)
        if unavailable:
            self._is_unavailable = True
            await self._intents.withdraw(unavailable, owned)
        if unknown:
            for command in unknown:
                command.lifecycle.doubt(str(results[command.index]), self._clock())
            not_started = await self._reconcile_into(unknown, results)
            retried += self._give_up_unanswered(not_started, results, unanswered)
        return retried

    async def _recheck_refused(
        self, commands: Sequence[PendingCommand], results: dict[int, ExecutionResult]
    ) -> None:
        """Probe again those that may have been sent more than once and were now refused, before
        they fail: the cause may be their own first request, which took effect after the probe, so
        that the key exists, or the row has a different version or is gone.
        """
        if not commands:
            return
        probed = await self._prober.probe(effects_of(commands), settled=True)
        for command, result in zip(commands, probed, strict=True):
            if result is None:
                continue
            results[command.index] = result
            if isinstance(result, Reconciled):
                self._local.record(command, result)
            else:
                self._local.mark_started([command])

    def _give_up_unanswered(
        self,
        commands: Sequence[PendingCommand],
        results: dict[int, ExecutionResult],
        unanswered: Counter[int],
    ) -> list[PendingCommand]:
        """Fail those that got no answer too often; returns the others."""
        unanswered.update(command.index for command in commands)
        no_answer = Rejected(
            "no_answer",
            f"the system was asked {MAX_UNANSWERED_REQUESTS} times and gave no answer; according "
            "to its probe the command has had no effect",
        )
        retried = []
        for command in commands:
            if unanswered[command.index] >= MAX_UNANSWERED_REQUESTS:
                results[command.index] = no_answer
                self._local.record(command, no_answer)
            else:
                retried.append(command)
        return retried

    async def _reconcile_into(
        self, commands: Sequence[PendingCommand], results: dict[int, ExecutionResult]
    ) -> list[PendingCommand]:
        """Reconcile these; returns those that certainly had no effect."""
        not_started = []
        for command, result in zip(commands, await self.reconcile(commands), strict=True):
            if result is None:
                not_started.append(command)
            else:
                results[command.index] = result
        return not_started

    async def _announce(
        self,
        commands: Sequence[PendingCommand],
        results: dict[int, ExecutionResult],
        owned: PartitionTransactions,
    ) -> tuple[list[PendingCommand], float]:
        """Those that may be started, because their intents are their last receipts in the log, and
        the time (of `elapsed`) until which they may.
        """
        if self._is_unavailable:
            # Check this first, so that a long outage doesn't fill the log with intents.
            try:
                await self._writer.prepare()
            except RetryLater as error:
                results.update({command.index: error for command in commands})
                return [], 0.0
            self._is_unavailable = False
        start_before = 0.0
        written_count = 0
        while commands:
            if written_count == MAX_STALE_INTENTS:
                raise RetryLater(
                    f"announcing commands in the log took longer than {self._start_within_s:g} s, "
                    f"{MAX_STALE_INTENTS} times in a row: too long to be sure that no other "
                    "process "
                    "executes them"
                )
            written_count += 1
            start_before = elapsed() + self._start_within_s
            self._local.mark_not_started(commands)
            lost = await self._intents.write(commands, owned)
            announced = []
            for command in commands:
                if command.partition in lost:
                    results[command.index] = Fenced("lost")
                else:
                    announced.append(command)
            commands = await self._still_open(announced, results)
            if elapsed() < start_before:
                break
        return list(commands), start_before

    async def _still_open(
        self, commands: Sequence[PendingCommand], results: dict[int, ExecutionResult]
    ) -> Sequence[PendingCommand]:
        """Those for which the log, read up to their intents, has no other receipt by now."""
        still_open, doubtful = [], []
        for command in commands:
            logged = self._index.logged(command.id)
            is_unknown = logged is not None and logged.outcome == Outcome.UNKNOWN_OUTCOME
            is_probed = command.is_doubtful and (
                command.generation == self._index.generation(command.id)
            )
            if logged is None or (is_unknown and is_probed):
                still_open.append(command)
            elif not logged.is_for(command.digest):
                results[command.index] = Rejected(
                    KEY_REUSED, f"command {command.id!r} was sent before with different content"
                )
            elif is_unknown:
                command.is_doubtful = True
                doubtful.append(command)
            else:
                results[command.index] = logged
        return [*still_open, *await self._reconcile_into(doubtful, results)]

    async def _run(
        self, commands: Sequence[PendingCommand], start_before: float
    ) -> Sequence[Done | Exception]:
        """Start these effects while there is time; the outcomes are aligned."""

        def begin() -> None:
            if elapsed() >= start_before:
                raise Fenced("it was announced too long ago to be begun now")

        effects = [
            replace(command.effect, begin=begin)
            for command in commands
            if command.effect is not None
        ]
        if not effects:
            return []
        self._local.mark_started(commands)
        try:
            return await run_effects(self._writer, effects, self._crash_point)
        except (OutcomeUnknown, RetryLater) as error:
            outcome: Exception = error
        except EffectsFailed as failure:
            # Only the system knows how far it came.
            outcome = OutcomeUnknown(str(failure))
        self._crash_point(AFTER_LEGACY)
        return [outcome for _ in effects]
