"""Effects into a system without a ledger: announced in the log first, probed for where in doubt."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.commands.contract import (
    AFTER_LEGACY,
    BEFORE_LEGACY,
    CrashPointHook,
    PartitionTransactions,
    elapsed,
)
from bridge.commands.incoming import IncomingCommand
from bridge.commands.receipts.builder import KEY_REUSED
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.contract import ExecutionResult, PendingCommand, Reconciled, aligned
from bridge.commands.strategy.intent_log import IntentLog
from bridge.commands.strategy.local_outcomes import LocalOutcomes
from bridge.commands.strategy.probes import EffectProber, effects_of
from bridge.connector import Done, Writer
from bridge.model.error_text import describe_error
from bridge.model.errors import (
    ConfigurationError,
    Fenced,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from bridge.model.receipt import Outcome

ROUNDS = 3
"""How often one is asked for that never answered and, as the probe told, did not happen."""

WRITTEN = 3
"""How often intents are written in a row that are too old by the time that they can be read."""


class IntentStrategy:
    """`Carrier` for writers without a ledger.

    `fresh_for` is for how many seconds after its intent a command may be begun: less than anybody
    needs to take the partition over. A process that was frozen for longer, or is slow, writes the
    intent again, which it can't where it was taken over.
    """

    def __init__(
        self,
        writer: Writer,
        intents: IntentLog,
        answered: ReceiptIndex,
        *,
        fresh_for: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        steps: CrashPointHook,
    ) -> None:
        self._writer = writer
        self._intents = intents
        self._answered = answered
        self._known = LocalOutcomes(answered)
        self._probes = EffectProber(writer, sleep=sleep, steps=steps)
        self._fresh_for = fresh_for
        self._clock = clock
        self._steps = steps
        self._away = False

    def doubts(self, work: PendingCommand) -> bool:
        """Those whose last word in the log is an intent, or that nobody could tell."""
        return work.intended

    async def ask(self, works: Sequence[PendingCommand]) -> list[ExecutionResult | None]:
        """By what this process knows, else by the commands' own probes."""
        endings: list[ExecutionResult | None] = []
        asked: list[int] = []
        for index, work in enumerate(works):
            work.turn = self._answered.turn(work.id)
            known, ending = self._known.recall(work)
            endings.append(ending)
            if not known:
                asked.append(index)
        answers = await self._probes.ask(effects_of([works[index] for index in asked]))
        for index, answer in zip(asked, answers, strict=True):
            endings[index] = answer
            works[index].denied = answer is None
        return endings

    async def prove(self, answered: Sequence[IncomingCommand]) -> list[Exception | None]:
        """Where there is no ledger, nothing but the log tells."""
        return [None for _ in answered]

    async def carry_out(
        self, works: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> list[ExecutionResult]:
        """Intents, effects, and probes for those without an answer, until each has its ending."""
        self._known.forget()
        endings: dict[int, ExecutionResult] = {}
        unheard: Counter[int] = Counter()
        left = list(works)
        while left:
            left = await self._round(left, endings, unheard, owned)
        return [endings[work.index] for work in works]

    async def _round(
        self,
        works: Sequence[PendingCommand],
        endings: dict[int, ExecutionResult],
        unheard: Counter[int],
        owned: PartitionTransactions,
    ) -> list[PendingCommand]:
        """Carry these out once; returns those of which it is certain that they didn't happen, and
        which are to be tried again now: no answer came, or there was no time left to begin.
        """
        going, until = await self._announced(works, endings, owned)
        outcomes = await self._execute(going, until)
        late: list[PendingCommand] = []
        unknown: list[PendingCommand] = []
        refused: list[PendingCommand] = []
        away: dict[str, tuple[PendingCommand, RetryLater]] = {}
        for work, outcome in zip(going, outcomes, strict=True):
            endings[work.index] = outcome
            self._known.learn(work, outcome)
            if isinstance(outcome, Fenced):
                late.append(work)
            elif isinstance(outcome, OutcomeUnknown):
                unknown.append(work)
            elif isinstance(outcome, RetryLater):
                away[work.id] = work, outcome
            elif isinstance(outcome, Exception) and work.denied:
                refused.append(work)
        await self._refused_again(refused, endings)
        if away:
            self._away = True
            await self._intents.withdraw(away, owned)
        if unknown:
            for work in unknown:
                work.course.doubt(str(endings[work.index]), self._clock())
            late += self._asked_enough(await self._reconciled(unknown, endings), endings, unheard)
        return late

    async def _refused_again(
        self, works: Sequence[PendingCommand], endings: dict[int, ExecutionResult]
    ) -> None:
        """These were sent more than once, perhaps, and refused now. What stood in their way may be
        their own first request, which took effect after the system was asked about it: its key is
        there, its row has another version or is gone. So it is asked again before they are failed.
        """
        if not works:
            return
        answers = await self._probes.ask(effects_of(works), settled=True)
        for work, answer in zip(works, answers, strict=True):
            if answer is None:
                continue
            endings[work.index] = answer
            if isinstance(answer, Reconciled):
                self._known.learn(work, answer)
            else:
                self._known.begun([work])

    def _asked_enough(
        self,
        works: Sequence[PendingCommand],
        endings: dict[int, ExecutionResult],
        unheard: Counter[int],
    ) -> list[PendingCommand]:
        """Those of which it may be hoped that they get an answer the next time."""
        unheard.update(work.index for work in works)
        hopeless = Rejected(
            "no_answer",
            f"the system was asked {ROUNDS} times and gave no answer; as it says now, nothing "
            "of the command has happened",
        )
        for work in works:
            if unheard[work.index] >= ROUNDS:
                endings[work.index] = hopeless
                self._known.learn(work, hopeless)
        return [work for work in works if unheard[work.index] < ROUNDS]

    async def _reconciled(
        self, works: Sequence[PendingCommand], endings: dict[int, ExecutionResult]
    ) -> list[PendingCommand]:
        """Ask about these; returns those of which it is certain that they didn't happen."""
        left = []
        for work, answer in zip(works, await self.ask(works), strict=True):
            if answer is None:
                left.append(work)
            else:
                endings[work.index] = answer
        return left

    async def _announced(
        self,
        works: Sequence[PendingCommand],
        endings: dict[int, ExecutionResult],
        owned: PartitionTransactions,
    ) -> tuple[list[PendingCommand], float]:
        """Those that may be begun, because their intents are the last word of the log, and until
        when they may.
        """
        if self._away:
            # Asked before, so that one that is away for long doesn't fill the log with intents.
            try:
                await self._writer.prepare()
            except RetryLater as away:
                endings.update({work.index: away for work in works})
                return [], 0.0
            self._away = False
        until = 0.0
        written = 0
        while works:
            if written == WRITTEN:
                raise RetryLater(
                    f"announcing commands in the log took longer than {self._fresh_for:g} s, "
                    f"{WRITTEN} times in a row: too long to be sure that nobody else carries them out"
                )
            written += 1
            until = elapsed() + self._fresh_for
            self._known.nothing(works)
            lost = await self._intents.write(works, owned)
            endings.update({w.index: Fenced("lost") for w in works if w.item.place in lost})
            works = await self._still_open([w for w in works if w.item.place not in lost], endings)
            if elapsed() < until:
                break
        return list(works), until

    async def _still_open(
        self, works: Sequence[PendingCommand], endings: dict[int, ExecutionResult]
    ) -> Sequence[PendingCommand]:
        """Those of which the log, read up to their intents, tells nothing else by now."""
        found, doubtful = [], []
        for work in works:
            told = self._answered.told(work.id)
            unknown = told is not None and told.outcome == Outcome.UNKNOWN_OUTCOME
            asked = work.doubtful and work.turn == self._answered.turn(work.id)
            if told is None or (unknown and asked):
                found.append(work)
            elif not told.is_for(work.item.command.digest):
                endings[work.index] = Rejected(
                    KEY_REUSED, f"command {work.id!r} was asked for before with another content"
                )
            elif unknown:
                work.doubtful = True
                doubtful.append(work)
            else:
                endings[work.index] = told
        return [*found, *await self._reconciled(doubtful, endings)]

    async def _execute(
        self, works: Sequence[PendingCommand], until: float
    ) -> Sequence[Done | Exception]:
        def begin() -> None:
            if elapsed() >= until:
                raise Fenced("it was announced too long ago to be begun now")

        effects = [replace(work.effect, begin=begin) for work in works if work.effect is not None]
        if not effects:
            return []
        self._steps(BEFORE_LEGACY)
        self._known.begun(works)
        outcomes: Sequence[Done | Exception]
        try:
            outcomes = aligned(works, await self._writer.execute(effects))
        except (OutcomeUnknown, RetryLater) as error:
            outcomes = [error for _ in effects]
        except (ConfigurationError, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - how far it came the system has to say
            why = OutcomeUnknown(f"the connector failed: {describe_error(error)}")
            outcomes = [why for _ in effects]
        self._steps(AFTER_LEGACY)
        return outcomes
