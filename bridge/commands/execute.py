"""A batch of commands through the Writer: decided, executed in waves, each with its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.commands.answered import Answered
from bridge.commands.answers import Answers, answer
from bridge.commands.contract import AFTER_LEGACY, BEFORE_LEGACY, Steps, Table
from bridge.commands.decide import Await, Execute, Refuse, decide
from bridge.commands.items import Item
from bridge.commands.receipts import (
    Course,
    failed,
    refused,
    reused,
    settles,
    succeeded,
    waves,
)
from bridge.connector import Done, Effect, Writer
from bridge.model.declare import CommandSpec
from bridge.model.errors import OutcomeUnknown, Rejected, RetryLater
from bridge.model.receipt import Receipt, State

ASK_AGAIN = (0.05, 0.2, 1.0)
"""Seconds between questions to the ledger after a commit whose answer was lost."""


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

        Raises RetryLater while the log is away.
        """
        courses: list[Course | None] = [None] * len(items)
        if items:
            await self._answered.catch_up()
        waiting: set[bytes | None] = set()
        ended = Answers()
        for wave in waves([item.key for item in items]):
            going: list[_Work] = []
            for index in wave:
                item = items[index]
                if item.key in waiting:
                    continue
                course = courses[index] = Course(item.command)
                decision = self._decided(item, course, ended)
                if decision is not None:
                    going.append(_Work(index, item, decision, course))
            if going:
                await self._wave(going, courses, waiting, ended)
        return courses

    def _decided(self, item: Item, course: Course, ended: Answers) -> Execute | None:
        now = self._clock()
        command = item.command
        before = ended.get(command.id) or self._answered.get(command.id)
        if before is not None and before.is_for(command.digest):
            course.answered = before.outcome
            return None
        course.reach(State.RECEIVED, now, by=command.agent)
        decision = decide(command, item.target, self._commands, self._tables, now)
        if isinstance(decision, Refuse):
            receipt = refused(command, decision.outcome, decision.code, decision.message, now)
            if before is not None and settles(receipt):
                receipt = reused(command, now)
            _end(course, receipt, ended)
            return None
        course.reach(State.VALIDATED, now)
        if before is not None:
            _end(course, reused(command, now), ended)
            return None
        if isinstance(decision, Await):
            course.reach(State.AWAITING_APPROVAL, now, message=decision.message)
            return None
        return decision

    async def _wave(
        self,
        going: list[_Work],
        courses: list[Course | None],
        waiting: set[bytes | None],
        ended: Answers,
    ) -> None:
        now = self._clock()
        for one in going:
            one.course.reach(State.EXECUTING, now)
        try:
            outcomes = await self._execute(going)
        except (RetryLater, OutcomeUnknown):
            outcomes = [RetryLater("the batch waits") for _ in going]
        for one, outcome in zip(going, outcomes, strict=True):
            command, at = one.item.command, self._clock()
            if isinstance(outcome, RetryLater):
                courses[one.index] = None
                waiting.add(one.item.key)
            elif isinstance(outcome, Done):
                one.course.repeated = outcome.repeated
                _end(one.course, succeeded(command, one.decision, outcome, at), ended)
            else:
                _end(one.course, failed(command, outcome, at), ended)

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


def _end(course: Course, receipt: Receipt, ended: Answers) -> None:
    """Its receipt, which the same command later in this batch has to know of."""
    course.end(receipt)
    if settles(receipt):
        ended.add(course.command.id, answer(course.command.digest, receipt.outcome))


def _check_aligned(effects: Sequence[Effect], outcomes: Sequence[Done | Exception]) -> None:
    if len(outcomes) != len(effects):
        raise Rejected(
            "connector_error",
            f"the writer answered {len(effects)} effects with {len(outcomes)} outcomes",
        )
