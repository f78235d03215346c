"""Effects into a system with a ledger: it knows what happened, so asking again does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.commands.contract import (
    AFTER_LEGACY,
    BEFORE_LEGACY,
    CrashPointHook,
    PartitionTransactions,
)
from bridge.commands.decision.decide import Execute, Refuse
from bridge.commands.incoming import IncomingCommand
from bridge.commands.receipts.builder import claims_only
from bridge.commands.strategy.contract import ExecutionResult, PendingCommand, Reconciled, aligned
from bridge.commands.strategy.probes import EffectProber
from bridge.connector import Done, Effect, LedgerWriter
from bridge.log.port import TopicPartition
from bridge.model.error_text import describe_error
from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    Fenced,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from bridge.model.receipt import State

NO_ROW = "the ledger has no row of it"

ASK_AGAIN = (0.05, 0.2, 1.0)
"""Seconds between questions to the ledger after a commit whose answer was lost."""


class LedgerOwnership:
    """Which partitions this process owns in the ledger too, so that nobody else acts for them.

    A process that was frozen between its decision and the effect, and lost its partition
    meanwhile, finds another owner in the transaction of its effect. What its successor found in
    the ledger after it became the owner is therefore the last word.
    """

    def __init__(self, writer: LedgerWriter, group: str) -> None:
        self._writer = writer
        self._group = group
        self._held: set[TopicPartition] = set()

    async def take(
        self, owned: PartitionTransactions, offsets: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Own these; returns those that the log says are somebody else's. `offsets` are those of
        the first records that aren't through yet. Raises RetryLater.

        The log is asked behind the ledger: who still owns the partition there has become its owner
        in the ledger before any successor did.
        """
        new = {place: offset for place, offset in offsets.items() if place not in self._held}
        if not new:
            return set()
        await self._writer.own([_name(place) for place in new])
        lost = set()
        for place, offset in new.items():
            try:
                async with owned.transaction(place) as transaction:
                    transaction.commit_offsets(self._group, {place: offset})
            except (Fenced, OutcomeUnknown):
                lost.add(place)
            else:
                self._held.add(place)
        return lost

    def drop(self, place: TopicPartition) -> None:
        """Somebody else became its owner in the ledger; asked anew whose it is."""
        self._held.discard(place)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `bridge.log.port.Rebalance`."""
        self._held -= partitions

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """As `bridge.log.port.Rebalance`: taken when there is a command."""
        del partitions
        return None


class LedgerStrategy:
    """`Carrier` for writers with a ledger."""

    def __init__(
        self,
        writer: LedgerWriter,
        owners: LedgerOwnership,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        steps: CrashPointHook,
    ) -> None:
        self._writer = writer
        self._owners = owners
        self._probes = EffectProber(writer, sleep=sleep, steps=steps)
        self._clock = clock
        self._sleep = sleep
        self._steps = steps

    def doubts(self, work: PendingCommand) -> bool:
        """What is to be executed the ledger answers for by itself; what isn't, because it came
        too late or isn't declared any more, may have taken effect in front of a crash.
        """
        decision = work.decision
        if work.intended:
            return True
        if isinstance(decision, Refuse):
            return not claims_only(decision.code)
        return not isinstance(decision, Execute)

    async def ask(self, works: Sequence[PendingCommand]) -> list[ExecutionResult | None]:
        """What was begun while the system had no ledger, it can't answer for."""
        answers = await self._ledger_of([work.item for work in works])
        return [
            OutcomeUnknown(
                "as the log says it was begun while its system kept no ledger, or has succeeded; "
                f"{NO_ROW}"
            )
            if answer is None and work.intended
            else answer
            for work, answer in zip(works, answers, strict=True)
        ]

    async def prove(self, answered: Sequence[IncomingCommand]) -> list[Exception | None]:
        """What took effect has its row in the ledger, for as long as the command may come again."""
        proofs: list[Exception | None] = []
        for row in await self._ledger_of(answered):
            if row is None:
                proofs.append(OutcomeUnknown(NO_ROW))
            else:
                proofs.append(row if isinstance(row, Exception) else None)
        return proofs

    async def _ledger_of(
        self, items: Sequence[IncomingCommand]
    ) -> list[Reconciled | Exception | None]:
        """The ledger wants nothing but id and digest."""
        return await self._probes.ask(
            [Effect(item.command.id, item.command.digest, "", {}, "", {}) for item in items]
        )

    async def carry_out(
        self, works: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> list[ExecutionResult]:
        """One legacy transaction; those that aren't ours any more wait."""
        del owned
        now = self._clock()
        for work in works:
            work.course.reach(State.EXECUTING, now)
        endings = await self._endings(works)
        for work, ending in zip(works, endings, strict=True):
            if isinstance(ending, Fenced):
                self._owners.drop(work.item.place)
        return endings

    async def _endings(self, works: Sequence[PendingCommand]) -> list[ExecutionResult]:
        effects = [
            replace(work.effect, partition=_name(work.item.place))
            for work in works
            if work.effect is not None
        ]
        try:
            return [*aligned(works, await self._execute(works, effects))]
        except (RetryLater, OutcomeUnknown) as error:
            return [RetryLater(str(error)) for _ in works]
        except (ConfigurationError, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - one effect's fault, and the others go on
            if len(works) == 1:
                return [await self._broken(works[0], error)]
        # Whose it is shows when each is carried out by itself; what has happened the ledger knows.
        endings: list[ExecutionResult] = []
        away: RetryLater | None = None
        for work in works:
            [ending] = [away] if away is not None else await self._endings([work])
            endings.append(ending)
            if away is None and isinstance(ending, RetryLater):
                away = await self._probes.away()
        return endings

    async def _broken(self, work: PendingCommand, error: Exception) -> ExecutionResult:
        """The end of a command at which the writer itself broke: as the ledger says."""
        (answer,) = await self.ask([work])
        if answer is not None:
            return RetryLater(str(answer)) if isinstance(answer, OutcomeUnknown) else answer
        if isinstance(error, BridgeError):
            return error
        return Rejected("connector_error", f"the connector failed: {describe_error(error)}")

    async def _execute(
        self, works: Sequence[PendingCommand], effects: Sequence[Effect]
    ) -> list[Done | Exception]:
        for wait in (*ASK_AGAIN, None):
            self._steps(BEFORE_LEGACY)
            try:
                outcomes = await self._writer.execute(effects)
            except OutcomeUnknown as unknown:
                if wait is None:
                    raise
                now = self._clock()
                for work in works:
                    work.course.doubt(str(unknown), now)
                await self._sleep(wait)
                continue
            self._steps(AFTER_LEGACY)
            return outcomes
        raise AssertionError("the last question ends with an answer or an error")


def _name(place: TopicPartition) -> str:
    """What the ledger calls a partition of the commands topic."""
    return str(place.partition)
