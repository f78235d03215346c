"""One event through one handler, tried again with back-off until it is done or given up."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

import tenacity

from bridge.agent.answer import Answer, collect, seal_answer
from bridge.agent.context import BlockingContext, Context
from bridge.agent.contract import Commands, Reads
from bridge.agent.declared import DeclaredAgent, Handler
from bridge.model.command import Command
from bridge.model.contain import EscapingError, contained
from bridge.model.errors import ConfigurationError, Rejected, RetryLater, Unsupported
from bridge.model.event import Event
from bridge.observe import Handled, Observer
from bridge.waiting import PartWaiting, failure_of

Sleep = Callable[[float], Awaitable[None]]
GIVE_UP_AT_ONCE = (Rejected, Unsupported, ConfigurationError)
"""Errors that another try won't change."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between tries, in seconds: `first`, doubled up to `longest`, with jitter."""

    first: float = 0.1
    longest: float = 30.0


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
        reads: Reads,
        commands: Commands,
        *,
        clock: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
        backoff: Backoff = Backoff(),
        threads: Executor | None = None,
        observer: Observer,
        is_ended: Callable[[asyncio.Task[Any]], bool] = _never,
        waiting: PartWaiting | None = None,
    ) -> None:
        """`is_ended`: whether the agent wants a cancelled task to end; otherwise its handler, or
        a library of it, cancelled it.
        """
        self._agent = agent
        self._reads = reads
        self._commands = commands
        self._clock = clock
        self._sleep = sleep
        self._backoff = backoff
        self._threads = threads
        self._observer = observer
        self._is_ended = is_ended
        self._waiting = waiting or PartWaiting("agent", agent.name, observer)
        self._waiting_events: Counter[str] = Counter()
        """How many events each handler waits with, by its name."""
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
        try:
            answers = await self.once(handler, event)
        except Exception as error:  # noqa: BLE001 - counted as the first of its tries
            answers = await self._again(handler, event, error, started)
        self._notice(handler, event, "done", started, len(answers))
        return answers

    async def _again(
        self, handler: Handler, event: Event, first: Exception, started: float
    ) -> list[Answer]:
        """What comes after a first try that failed. Apart, because most tries don't, and asking
        tenacity costs more than everything else that is done for an event.
        """
        faults = 0
        waits = False
        before: list[Exception] = [first]

        async def attempt() -> list[Answer]:
            if before:
                raise before.pop()
            return await self.once(handler, event)

        def given_up(state: tenacity.RetryCallState) -> bool:
            nonlocal faults
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, RetryLater):
                return False
            faults += 1
            return faults >= self._agent.attempts or isinstance(error, GIVE_UP_AT_ONCE)

        waits_for = f"handler {handler.name}"

        def told(state: tenacity.RetryCallState) -> None:
            nonlocal waits
            self._notice(handler, event, "retry", started, 0)
            if state.outcome is not None and isinstance(state.outcome.exception(), RetryLater):
                if not waits:
                    waits = True
                    self._waiting_events[handler.name] += 1
                reason = f"{waits_for}, event {event.id}: {failure_of(state)}"
                self._waiting.tried(state.attempt_number, reason, waits_for)

        retrying = tenacity.AsyncRetrying(
            stop=given_up,
            wait=tenacity.wait_random_exponential(self._backoff.first, self._backoff.longest),
            retry=tenacity.retry_if_exception_type(Exception),
            sleep=self._sleep,
            before_sleep=told,
            reraise=True,
        )
        try:
            answers: list[Answer] = await retrying(attempt)
        except Exception as error:
            self._notice(handler, event, "parked", started, 0)
            raise Failed(handler, faults) from error
        finally:
            if waits:
                self._waiting_events[handler.name] -= 1
                if not self._waiting_events[handler.name]:
                    self._waiting.tried(0, "", waits_for)
        return answers

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
