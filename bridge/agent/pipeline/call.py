"""Calls the handler, whatever kind of callable it is, and seals the commands that it returns."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from datetime import datetime
from typing import Any

from bridge.agent.context import BlockingContext, Context
from bridge.agent.contract import CommandTargets
from bridge.agent.declaration import AgentDeclaration, EventHandler
from bridge.agent.held_rows import HeldRows
from bridge.agent.pipeline.delivery import Delivery
from bridge.agent.sealing import SealedCommand, collect_commands, seal_command
from bridge.model.command import Command
from bridge.model.contained_errors import EscapingError, contained
from bridge.model.event import Event
from bridge.ports.entity_reads import EntityReads


def _never(_task: asyncio.Task[Any]) -> bool:
    return False


class CallHandler:
    """The innermost step: one try of one handler; whatever it raises becomes an Exception.

    `threads`: where handlers that aren't async run (None: the loop's default executor).
    `is_ended`: whether the agent itself cancelled the task; otherwise the handler, or a library
    that it uses, did.
    `held`: rows that `reads` has answered with and that are still held.
    """

    def __init__(
        self,
        agent: AgentDeclaration,
        reads: EntityReads,
        commands: CommandTargets,
        *,
        clock: Callable[[], datetime],
        threads: Executor | None = None,
        is_ended: Callable[[asyncio.Task[Any]], bool] = _never,
        held: HeldRows | None = None,
    ) -> None:
        self._agent = agent
        self._reads = reads
        self._commands = commands
        self._clock = clock
        self._threads = threads
        self._is_ended = is_ended
        self._held = held
        self._logger = logging.LoggerAdapter(
            logging.getLogger(f"bridge.agent.{agent.name}"), {"agent": agent.name}
        )

    async def __call__(self, delivery: Delivery) -> list[SealedCommand]:
        """As HandleEvent; raises what the handler raises, and Rejected for a command that can't be
        sealed.
        """
        handler, event = delivery.handler, delivery.event
        context = Context(
            event,
            self._reads,
            self._clock,
            self._logger,
            handler=handler.name,
            agent=self._agent.name,
            held=self._held,
        )
        commands = await self._commands_of(handler, event, context)
        return [
            seal_command(
                command,
                agent=self._agent,
                handler=handler,
                event=event,
                ordinal=ordinal,
                commands=self._commands,
                now=self._clock(),
            )
            for ordinal, command in enumerate(commands)
        ]

    async def _commands_of(
        self, handler: EventHandler, event: Event, context: Context
    ) -> list[Command]:
        """The commands that the handler returned. Whatever it raises becomes an Exception, so that
        it fails like any other handler and ends nothing else.
        """
        try:
            if handler.form == "coroutine":
                returned = await handler.run(event, context)
            else:
                returned = await self._run(handler, event, context)
            commands = [] if returned is None else await collect_commands(returned)
        except Exception:
            await self._forget_cancelling()
            raise
        except BaseException as error:
            task = _current_task()
            if task is None or self._is_ended(task) or _interrupted(error):
                raise
            # If it propagated, the event would be neither done nor failed, and hold up its
            # partition.
            await self._forget_cancelling()
            if isinstance(error, asyncio.CancelledError):
                raise EscapingError(
                    "the handler's task, or something that it awaited, was cancelled"
                ) from error
            raise contained(error, "the handler") from error
        task = _current_task()
        if task is not None and task.cancelling():
            await self._forget_cancelling()
        return commands

    async def _forget_cancelling(self) -> None:
        """Undo a cancellation that a library requested (as some do for a timeout) and never took
        back: it was meant for the handler, which has ended.
        """
        task = _current_task()
        if task is None or not task.cancelling() or self._is_ended(task):
            return
        while task.uncancel():
            pass
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    async def _run(self, handler: EventHandler, event: Event, context: Context) -> Any:
        if handler.form == "async_generator":
            return handler.run(event, context)
        loop = asyncio.get_running_loop()
        blocking = BlockingContext(context, loop)
        # A plain generator is run to its end in the thread, where its reads may wait.
        returned = await loop.run_in_executor(
            self._threads, _run_plain, handler.run, event, blocking
        )
        # An async function in a plain wrapper: its reads are awaited, which `blocking` detects.
        return await returned if inspect.isawaitable(returned) else returned


def _run_plain(run: Callable[..., Any], event: Event, context: BlockingContext) -> Any:
    try:
        returned = run(event, context)
        return list(returned) if isinstance(returned, Iterator) else returned
    except StopIteration as error:
        # No future can hold a StopIteration: awaiting the thread would never end (before 3.12).
        raise RuntimeError("the handler raised StopIteration") from error
    except BaseException as error:
        # Some of these would end the task that they are delivered to.
        raise contained(error, "the handler") from error


def _current_task() -> asyncio.Task[Any] | None:
    """None outside of the loop, as when a coroutine is closed."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _interrupted(error: BaseException) -> bool:
    """Whether this is Ctrl-C; only on a test bench, since a bridge's handlers run in other
    threads.
    """
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
    )
