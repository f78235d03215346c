"""One event through one handler, tried again with back-off until it is done or given up."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from datetime import datetime
from time import perf_counter
from typing import Any

from bridge.agent.answer import Answer, collect, seal_answer
from bridge.agent.context import BlockingContext, Context, key_of_event
from bridge.agent.contract import Commands
from bridge.agent.declared import DeclaredAgent, Handler
from bridge.agent.error_trace import handler_trace
from bridge.agent.handler_waits import HandlerWaiting
from bridge.agent.retry_waits import (
    AWAY,
    Backoff,
    Chance,
    never_passes,
    wait_after_failure,
    wait_while_away,
)
from bridge.model.command import Command
from bridge.model.contain import EscapingError, contained
from bridge.model.error_text import describe_error
from bridge.model.errors import RetryLater
from bridge.model.event import Event
from bridge.observe import Handled, HandlerFailed, Observer
from bridge.ports.entity_reads import EntityReads
from bridge.waiting import PartWaiting

Sleep = Callable[[float], Awaitable[None]]


class Failed(Exception):
    """A handler was given up for one event; `__cause__` says why."""

    def __init__(self, handler: Handler, attempts: int) -> None:
        super().__init__(handler.name)
        self.handler = handler
        self.attempts = attempts


def _never(_task: asyncio.Task[Any]) -> bool:
    return False


class Attempts:
    """Runs handlers: what they read with, seal with, and how they are tried again."""

    def __init__(
        self,
        agent: DeclaredAgent,
        reads: EntityReads,
        commands: Commands,
        *,
        clock: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
        rest: Sleep | None = None,
        backoff: Backoff | None = None,
        chance: Chance = random.random,
        threads: Executor | None = None,
        observer: Observer,
        is_ended: Callable[[asyncio.Task[Any]], bool] = _never,
        waiting: PartWaiting | None = None,
    ) -> None:
        """`sleep` while something is away; `rest` between failures (None: the same), which are
        `backoff` apart (None: as the agent says). `is_ended`: whether the agent wants a cancelled task to end; otherwise its handler, or
        a library of it, cancelled it.
        """
        self._agent = agent
        self._reads = reads
        self._commands = commands
        self._clock = clock
        self._sleep = sleep
        self._rest = rest or sleep
        self._backoff = backoff or Backoff(agent.first_wait_s, agent.longest_wait_s)
        self._away = backoff or AWAY
        self._chance = chance
        self._threads = threads
        self._observer = observer
        self._is_ended = is_ended
        waiting = waiting or PartWaiting("agent", agent.name, observer)
        self._waiting = HandlerWaiting(agent.name, waiting, observer)
        self._logger = logging.LoggerAdapter(
            logging.getLogger(f"bridge.agent.{agent.name}"), {"agent": agent.name}
        )

    async def handle(self, handler: Handler, event: Event) -> list[Answer]:
        """The commands of `handler` for `event`, sealed.

        While something that it needs is away (RetryLater) it is tried without end, because
        nothing is wrong with the event. Raises Failed when `agent.attempts` other errors came,
        or one that another try won't change.
        """
        started = perf_counter()
        first: Exception | None = None
        try:
            answers = await self.once(handler, event)
        except Exception as error:  # noqa: BLE001 - counted as the first of its tries
            first = error
        if first is not None:
            # Not while it is handled: errors of later tries would be told as what came of it.
            answers, started = await self._again(handler, event, first, started)
        self._notice(handler, event, "done", started, len(answers))
        return answers

    async def _again(
        self, handler: Handler, event: Event, first: Exception, started: float
    ) -> tuple[list[Answer], float]:
        """What comes after a first try that failed, and when the try that worked began. Apart,
        because most tries don't fail.
        """
        faults = away = 0
        error = first
        waits = False
        try:
            while True:
                if isinstance(error, RetryLater):
                    away += 1
                    if not waits:
                        waits = True
                        self._waiting.begin(handler.name)
                    self._waiting.failed(handler.name, error, away)
                    wait, sleep = (
                        wait_while_away(self._away, error, away, self._chance),
                        self._sleep,
                    )
                else:
                    faults, away = faults + 1, 0
                    if faults >= self._agent.attempts or never_passes(error):
                        self._notice(handler, event, "parked", started, 0)
                        raise Failed(handler, faults) from error
                    wait, sleep = (
                        wait_after_failure(self._backoff, faults, self._chance),
                        self._rest,
                    )
                    self._failed(handler, event, error, faults, wait)
                self._notice(handler, event, "retry", started, 0)
                await sleep(wait)
                # How long handlers take is told of each try: the waits are none of theirs.
                started = perf_counter()
                try:
                    return await self.once(handler, event), started
                except Exception as failure:  # noqa: BLE001 - counted as the first one was
                    error = failure
        finally:
            if waits:
                self._waiting.end(handler.name)

    def _failed(
        self, handler: Handler, event: Event, error: Exception, failures: int, wait: float
    ) -> None:
        self._observer(
            HandlerFailed(
                self._agent.name,
                handler.name,
                event.entity,
                key_of_event(event),
                event.id,
                failures,
                self._agent.attempts,
                round(wait, 1),
                describe_error(error),
                handler_trace(error),
            )
        )

    async def once(self, handler: Handler, event: Event) -> list[Answer]:
        """One try, whose error comes out as it is."""
        context = Context(event, self._reads, self._clock, self._logger, handler.name)
        returned = await self._answered(handler, event, context)
        return [
            seal_answer(
                command,
                agent=self._agent,
                handler=handler,
                event=event,
                ordinal=ordinal,
                commands=self._commands,
                now=self._clock(),
            )
            for ordinal, command in enumerate(returned)
        ]

    async def _answered(self, handler: Handler, event: Event, context: Context) -> list[Command]:
        """What the handler returned. Whatever it raises comes out as an Exception, so that it has
        failed like any other and ends nothing but itself.
        """
        try:
            if handler.form == "coroutine":
                returned = await handler.run(event, context)
            else:
                returned = await self._call(handler, event, context)
            commands = [] if returned is None else await collect(returned)
        except Exception:
            await self._forget_cancelling()
            raise
        except BaseException as error:
            task = _current_task()
            if task is None or self._is_ended(task) or _interrupted(error):
                raise
            # Let through, the event would be neither done nor failed, and hold its partition up.
            await self._forget_cancelling()
            if isinstance(error, asyncio.CancelledError):
                raise EscapingError(
                    "something that the handler waited for, or its own task, was cancelled"
                ) from error
            raise contained(error, "the handler") from error
        task = _current_task()
        if task is not None and task.cancelling():
            await self._forget_cancelling()
        return commands

    async def _forget_cancelling(self) -> None:
        """A library cancelled the task of its handler (as some do for a time-out), and nobody took
        that back: it is meant for the handler, which has ended.
        """
        task = _current_task()
        if task is None or not task.cancelling() or self._is_ended(task):
            return
        while task.uncancel():
            pass
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    async def _call(self, handler: Handler, event: Event, context: Context) -> Any:
        if handler.form == "async_generator":
            return handler.run(event, context)
        loop = asyncio.get_running_loop()
        blocking = BlockingContext(context, loop)
        # A plain generator is run to its end in the thread, where its reads may wait.
        returned = await loop.run_in_executor(
            self._threads, _run_plain, handler.run, event, blocking
        )
        # An async function behind a plain wrapper: its reads are awaited, as `blocking` notices.
        return await returned if inspect.isawaitable(returned) else returned

    def _notice(
        self, handler: Handler, event: Event, outcome: str, started: float, commands: int
    ) -> None:
        took = perf_counter() - started
        self._observer(
            Handled(self._agent.name, handler.name, event.entity, outcome, took, commands)
        )


def _run_plain(run: Callable[..., Any], event: Event, context: BlockingContext) -> Any:
    try:
        returned = run(event, context)
        return list(returned) if isinstance(returned, Iterator) else returned
    except StopIteration as error:
        # No future can hold one: whoever waits for the thread would wait for ever (until 3.12).
        raise RuntimeError("the handler raised StopIteration") from error
    except BaseException as error:
        # Nor does a task live on that is woken with some of these.
        raise contained(error, "the handler") from error


def _current_task() -> asyncio.Task[Any] | None:
    """None outside of the loop: where a coroutine is closed."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _interrupted(error: BaseException) -> bool:
    """Whether this is Ctrl-C: of a test bench, since a bridge's handlers run in other threads."""
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
    )
