"""The event loop of an agent's handlers, in a thread of its own.

A handler that blocks (a synchronous client, a long computation) holds up the handlers of its own
agent, and nothing else: the bridge's loop keeps the group's membership, reads, writes what is
finished, runs the other parts and handles signals.
(docs/decisions/2026-11-29-handlers-have-a-loop-of-their-own.md)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, TypeVar

from bridge.agent.mailbox import Mailbox
from bridge.model.contained_errors import contained

Job = TypeVar("Job")
Result = TypeVar("Result")

MAX_TURN_S = 0.05
"""Seconds after which one iteration of the loop starts no more jobs, so that cancellations get
through.
"""
MAX_TO_THREAD_THREADS = 32
"""Threads for `asyncio.to_thread` in handlers."""


class HandlerLoop(Generic[Job, Result]):
    """Runs `work` for jobs concurrently in its thread, and calls back in the bridge's loop.

    Call `start`, `send`, `cancel` and `close` in the bridge's loop; `to_bridge`, `pause`,
    `is_ended` and `dropped_check` in the handlers' loop.
    `is_dropped`: may change for a job at any time; a dropped job isn't started.
    `give_up`: the result of a job whose `work` was interrupted.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Job], Awaitable[Result]],
        finished: Callable[[Job, Result | None, Exception | None], None],
        *,
        is_dropped: Callable[[Job], bool],
        give_up: Callable[[Job, Exception], Result],
    ) -> None:
        self._work = work
        self._give_up = give_up
        self._finished = finished
        self._is_dropped = is_dropped
        self._bridge = asyncio.get_running_loop()
        self.loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(
            MAX_TO_THREAD_THREADS, thread_name_prefix=f"{name}-to-thread"
        )
        self.loop.set_default_executor(self._threads)
        self.to_bridge = Mailbox(self._bridge)
        self.to_handlers = Mailbox(self.loop, self._begin_turn)
        self._jobs: dict[asyncio.Task[Result], Job] = {}
        self._turn_began = 0.0
        self._sent = 0.0
        self._new_turn = False
        self._closing = False
        self._closed = asyncio.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    # -- in the bridge's loop ------------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Queue a job; call `send` afterwards, once for several."""
        self.to_handlers.post(self._start, job)

    def send(self) -> None:
        """Pass the queued jobs to the handlers' loop."""
        self.to_handlers.send()

    def cancel(self) -> None:
        """Cancel the jobs that were dropped."""
        self.to_handlers.post(self._cancel)
        self.to_handlers.send()

    async def close(self, seconds: float) -> bool:
        """Cancel everything and end the thread; False if it hasn't ended within `seconds` because a
        handler blocks it. The thread then ends with that handler or with the process.
        """
        self._closing = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.to_handlers.post(self._end)
        self.to_handlers.send()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        return self._closed.is_set()

    # -- in the handlers' loop -----------------------------------------------------------------

    def is_ended(self, task: asyncio.Task[Any]) -> bool:
        """Whether the agent itself cancelled this task."""
        job = self._jobs.get(task)
        return self._closing or (job is not None and self._is_dropped(job))

    def current_job(self) -> Job | None:
        """The job that the current task works on."""
        task = asyncio.current_task()
        return None if task is None else self._jobs.get(task)

    def dropped_check(self) -> Callable[[], bool]:
        """A check whether the current task's job was dropped; callable at any time, in any
        thread.
        """
        job = self.current_job()
        return lambda: job is not None and self._is_dropped(job)

    async def pause(self) -> None:
        """Wait for the loop's next iteration if this one has lasted too long to start anything in
        it.
        """
        while monotonic() - self._turn_began > MAX_TURN_S:
            if not self._new_turn:
                self._new_turn = True
                self.loop.call_soon(self._begin_turn)
            await asyncio.sleep(0)

    def _begin_turn(self) -> None:
        self._new_turn = False
        self._turn_began = monotonic()

    def _start(self, job: Job) -> None:
        if self._closing:
            return
        task = self.loop.create_task(self._do(job))
        self._jobs[task] = job
        task.add_done_callback(self._done)

    async def _do(self, job: Job) -> Result:
        if monotonic() - self._turn_began > MAX_TURN_S:
            await self.pause()
        if self._is_dropped(job):
            raise asyncio.CancelledError
        while True:
            try:
                return await self._work(job)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or self.is_ended(task):
                    raise
                # A library cancelled it after its handler had ended. Its event isn't done.
                while task.uncancel():
                    pass
            except (GeneratorExit, RuntimeError) as error:
                # A task that the handler awaited raised GeneratorExit, which Python mistakes for
                # the request to close the coroutine of `work`.
                if asyncio.current_task() is None:
                    raise
                return self._give_up(job, contained(error, "a task that the handler waited for"))

    def _done(self, task: asyncio.Task[Result]) -> None:
        job = self._jobs.pop(task)
        if task.cancelled() and not (self._closing or self._is_dropped(job)):
            # Cancelled by user code in this loop before it had begun. Its event isn't done.
            self._start(job)
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        result = task.result() if error is None else None
        failure = None if error is None else contained(error, "the handler's task")
        self.to_bridge.post_soon(self.loop, self._finished, job, result, failure)
        now = monotonic()
        if now - max(self._turn_began, self._sent) > MAX_TURN_S:
            # Finished work is written before more is started, which may take just as long.
            self._sent = now
            self.to_bridge.send()

    def _cancel(self) -> None:
        for task, job in list(self._jobs.items()):
            if self._is_dropped(job):
                task.cancel()

    def _end(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - sys.exit in a task that a handler began
                self.loop.call_exception_handler(
                    {"message": "a task of a handler", "exception": contained(error, "it")}
                )
            if self._closing:
                break
        try:
            # Let cancelled tasks finish.
            self.loop.run_until_complete(self._leave())
        except BaseException:  # noqa: BLE001, S110 - of handlers that are over
            pass
        finally:
            self.loop.close()
            with suppress(RuntimeError):
                self._bridge.call_soon_threadsafe(self._closed.set)

    async def _leave(self) -> None:
        leaving = asyncio.all_tasks(self.loop) - {asyncio.current_task()}
        if leaving:
            await asyncio.wait(leaving, timeout=1)
        await self.loop.shutdown_asyncgens()
