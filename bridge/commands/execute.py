"""A batch of commands through the Writer: decided, executed in waves, each with its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.commands.answered import Answered
from bridge.commands.contract import AFTER_LEGACY, BEFORE_LEGACY, Steps, Table
from bridge.commands.decide import Await, Execute, Refuse, decide
from bridge.commands.receipts import EPOCH, Course, failed, refused, succeeded, waves
from bridge.connector import Done, Effect, Writer
from bridge.log.port import Headers
from bridge.model.command import CommandRecord
from bridge.model.declare import CommandSpec
from bridge.model.errors import OutcomeUnknown, Rejected, RetryLater
from bridge.model.fixed import Target
from bridge.model.headers import REPLAY
from bridge.model.receipt import State

ASK_AGAIN = (0.05, 0.2, 1.0)
"""Seconds between questions to the ledger after a commit whose answer was lost."""


@dataclass(frozen=True, slots=True)
class Item:
    """One command as it stands in the log; `key` are its key bytes there."""

    command: CommandRecord
    target: Target
    key: bytes | None
    headers: Headers = ()

    @property
    def replayed(self) -> bool:
        """Whether an agent asked for it while it handled a replayed event."""
        return any(name == REPLAY for name, _ in self.headers)


@dataclass(slots=True)
class _Work:
    """A command that is to be executed, and its place in the batch."""

    index: int
    item: Item
    decision: Execute
    course: Course


class Execution:
    """Carries out batches of one system's commands."""

    def __init__(
        self,
        commands: Mapping[str, CommandSpec],
        tables: Mapping[str, Table],
        writer: Writer,
        answered: Answered,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        steps: Steps,
    ) -> None:
        self._commands = commands
        self._tables = tables
        self._writer = writer
        self._answered = answered
        self._clock = clock
        self._sleep = sleep
        self._steps = steps

    async def carry_out(self, items: Sequence[Item]) -> list[Course | None]:
        """The course of each command, aligned; None for one that has to be tried again later
        (the legacy system is away, or a lock was not given), and then for all behind it of its key.
        """
        courses: list[Course | None] = [None] * len(items)
        known = await self._answered.among(
            {item.command.id for item in items if item.replayed}, since=None
        )
        work: list[_Work] = []
        for index, item in enumerate(items):
            course = courses[index] = Course(item.command)
            if item.command.id in known:
                course.repeated = True
                continue
            decision = self._decided(item, course)
            if decision is not None:
                work.append(_Work(index, item, decision, course))
        waiting: set[bytes | None] = set()
        ended: dict[str, str] = {}
        for wave in waves([one.item.key for one in work]):
            await self._wave([work[number] for number in wave], courses, waiting, ended)
        return courses

    def _decided(self, item: Item, course: Course) -> Execute | None:
        now = self._clock()
        command = item.command
        course.reach(State.RECEIVED, now, by=command.agent)
        decision = decide(command, item.target, self._commands, self._tables, now)
        if isinstance(decision, Refuse):
            course.end(refused(command, decision.outcome, decision.code, decision.message, now))
            return None
        course.reach(State.VALIDATED, now)
        if isinstance(decision, Await):
            course.reach(State.AWAITING_APPROVAL, now, message=decision.message)
            return None
        return decision

    async def _wave(
        self,
        wave: list[_Work],
        courses: list[Course | None],
        waiting: set[bytes | None],
        ended: dict[str, str],
    ) -> None:
        going: list[_Work] = []
        for one in wave:
            if one.item.key in waiting:
                courses[one.index] = None
            elif ended.get(one.item.command.id) == one.item.command.digest:
                # The same command twice in one batch: the first one's receipt is for both.
                one.course.repeated, one.course.steps = True, []
            else:
                going.append(one)
        if not going:
            return
        now = self._clock()
        for one in going:
            one.course.reach(State.EXECUTING, now)
        try:
            outcomes = await self._execute(going)
        except (RetryLater, OutcomeUnknown):
            outcomes = [RetryLater("the batch waits") for _ in going]
        again = await self._have_receipts(going, outcomes)
        for one, outcome in zip(going, outcomes, strict=True):
            command, at = one.item.command, self._clock()
            if isinstance(outcome, RetryLater):
                courses[one.index] = None
                waiting.add(one.item.key)
                continue
            if isinstance(outcome, Done):
                one.course.repeated = outcome.repeated
                if command.id in again:
                    one.course.steps = []
                else:
                    one.course.end(succeeded(command, one.decision, outcome, at))
            else:
                one.course.end(failed(command, outcome, at))
            ended.setdefault(command.id, command.digest)

    async def _execute(self, going: list[_Work]) -> list[Done | Exception]:
        effects = [one.decision.effect for one in going]
        for wait in (*ASK_AGAIN, None):
            self._steps(BEFORE_LEGACY)
            try:
                outcomes = await self._writer.execute(effects)
            except OutcomeUnknown as unknown:
                if wait is None:
                    raise
                now = self._clock()
                for one in going:
                    one.course.reach(State.UNKNOWN, now, message=str(unknown))
                    one.course.reach(State.RECONCILING, now)
                await self._sleep(wait)
                continue
            self._steps(AFTER_LEGACY)
            _check_aligned(effects, outcomes)
            return outcomes
        raise AssertionError("the last question ends with an answer or an error")

    async def _have_receipts(
        self, going: list[_Work], outcomes: Sequence[Done | Exception]
    ) -> set[str]:
        """Which of those that the ledger knew have their receipt from then."""
        repeated = {
            one.item.command.id: outcome
            for one, outcome in zip(going, outcomes, strict=True)
            if isinstance(outcome, Done) and outcome.repeated
        }
        if not repeated:
            return set()
        times = [done.finished_at for done in repeated.values()]
        known = [at for at in times if at is not None]
        since = EPOCH + timedelta(microseconds=min(known)) if len(known) == len(times) else None
        return await self._answered.among(set(repeated), since)


def _check_aligned(effects: Sequence[Effect], outcomes: Sequence[Done | Exception]) -> None:
    if len(outcomes) != len(effects):
        raise Rejected(
            "connector_error",
            f"the writer answered {len(effects)} effects with {len(outcomes)} outcomes",
        )
