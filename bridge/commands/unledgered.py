"""Effects into a system without a ledger: announced in the log first, probed for where in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from time import monotonic

from bridge.commands.answered import Answered
from bridge.commands.ask import Probes, effects_of
from bridge.commands.contract import AFTER_LEGACY, BEFORE_LEGACY, Places, Steps
from bridge.commands.intents import Intents
from bridge.commands.receipts import KEY_REUSED
from bridge.commands.work import Ending, Reconciled, Work, aligned
from bridge.connector import Done, Writer
from bridge.model.errors import Fenced, OutcomeUnknown, Rejected, RetryLater
from bridge.model.receipt import Outcome

ROUNDS = 3
"""How often one is asked for that never answered and, as the probe told, did not happen."""


class Unledgered:
    """`Carrier` for writers without a ledger.

    `fresh_for` is for how many seconds after its intent a command may be started: less than
    anybody needs to take the partition over. A process that was frozen for longer writes the
    intent again, which it can't where it was taken over.
    """

    def __init__(
        self,
        writer: Writer,
        intents: Intents,
        answered: Answered,
        *,
        fresh_for: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        steps: Steps,
    ) -> None:
        self._writer = writer
        self._intents = intents
        self._answered = answered
        self._probes = Probes(writer, sleep=sleep, steps=steps)
        self._fresh_for = fresh_for
        self._clock = clock
        self._steps = steps
        self._away = False

    def doubts(self, work: Work) -> bool:
        """Those whose last word in the log is an intent, or that nobody could tell."""
        return work.intended

    async def ask(self, works: Sequence[Work]) -> list[Reconciled | Exception | None]:
        """By the commands' own probes."""
        return await self._probes.ask(effects_of(works))

    async def carry_out(self, works: Sequence[Work], owned: Places) -> list[Ending]:
        """Intents, effects, and probes for those without an answer, until each has its ending."""
        endings: dict[int, Ending] = {}
        left = list(works)
        for _ in range(ROUNDS):
            left = await self._round(left, endings, owned)
            if not left:
                break
        for work in left:
            endings[work.index] = Rejected(
                "no_answer",
                f"the system was asked {ROUNDS} times and gave no answer; as it says now, nothing "
                "of the command has happened",
            )
        return [endings[work.index] for work in works]

    async def _round(
        self, works: Sequence[Work], endings: dict[int, Ending], owned: Places
    ) -> list[Work]:
        """Carry these out once; returns those of which it is certain that they didn't happen."""
        going = await self._announced(works, endings, owned)
        outcomes = await self._execute(going)
        unknown: list[Work] = []
        away: dict[str, tuple[Work, RetryLater]] = {}
        for work, outcome in zip(going, outcomes, strict=True):
            endings[work.index] = outcome
            if isinstance(outcome, OutcomeUnknown):
                unknown.append(work)
            elif isinstance(outcome, RetryLater):
                away[work.id] = work, outcome
        if away:
            self._away = True
            await self._intents.withdraw(away, owned)
        if not unknown:
            return []
        for work in unknown:
            work.course.doubt(str(endings[work.index]), self._clock())
        return await self._reconciled(unknown, endings)

    async def _reconciled(self, works: Sequence[Work], endings: dict[int, Ending]) -> list[Work]:
        """Ask about these; returns those of which it is certain that they didn't happen."""
        left = []
        for work, answer in zip(works, await self.ask(works), strict=True):
            if answer is None:
                left.append(work)
            else:
                endings[work.index] = answer
        return left

    async def _announced(
        self, works: Sequence[Work], endings: dict[int, Ending], owned: Places
    ) -> list[Work]:
        """Those that may be started now: their intents are the last word of the log."""
        if self._away:
            # Asked before, so that one that is away for long doesn't fill the log with intents.
            try:
                await self._writer.prepare()
            except RetryLater as away:
                endings.update({work.index: away for work in works})
                return []
            self._away = False
        while works:
            since = monotonic()
            lost = await self._intents.write(works, owned)
            endings.update({w.index: Fenced("lost") for w in works if w.item.place in lost})
            works = await self._still_open([w for w in works if w.item.place not in lost], endings)
            if monotonic() - since < self._fresh_for:
                break
        return list(works)

    async def _still_open(
        self, works: Sequence[Work], endings: dict[int, Ending]
    ) -> Sequence[Work]:
        """Those of which the log, read up to their intents, tells nothing else by now."""
        found, doubtful = [], []
        for work in works:
            told = self._answered.told(work.id)
            unknown = told is not None and told.outcome == Outcome.UNKNOWN_OUTCOME
            if told is None or (unknown and work.doubtful):
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

    async def _execute(self, works: Sequence[Work]) -> Sequence[Done | Exception]:
        effects = [work.effect for work in works if work.effect is not None]
        if not effects:
            return []
        self._steps(BEFORE_LEGACY)
        try:
            outcomes = await self._writer.execute(effects)
        except (OutcomeUnknown, RetryLater) as error:
            outcomes = [error for _ in effects]
        self._steps(AFTER_LEGACY)
        return aligned(works, outcomes)
