"""Reads of one shape that wait at the same time become one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from itertools import islice
from typing import Generic, TypeVar

from bridge.gateway.limiter import Limiter
from bridge.model.contained_errors import contained
from bridge.model.errors import Rejected, RetryLater, RowError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Fetch = Callable[[list[Key], int], Awaitable[Mapping[Key, Value]]]

PER_KEY_ERRORS = (Rejected, RowError)
"""Errors that a single key may cause; they must not fail the query's other keys."""


class Batcher(Generic[Key, Value]):
    """Loads values by key.
    `fetch`: called with at most `max_keys` distinct keys and the number of reads that wait for
    them; keys that it doesn't find are absent from its result.

    A read never joins a query that has begun, so its result is never older than the call.
    """

    def __init__(self, fetch: Fetch[Key, Value], limiter: Limiter, max_keys: int) -> None:
        self._fetch = fetch
        self._limiter = limiter
        self._max_keys = max(1, max_keys)
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatching = False
        self._closed = False

    async def load(self, key: Key) -> Value | None:
        """The value, or None. Raises what the query raised for this key. May be cancelled."""
        if self._closed:
            raise RetryLater("the gateway is closing")
        answer: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if not self._dispatching:
            self._dispatching = True
            self._spawn(self._dispatch())
        return await answer

    async def close(self) -> None:
        """Cancel running queries; waiting reads raise RetryLater."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._refuse(RetryLater("the gateway is closing"))

    async def _dispatch(self) -> None:
        try:
            # This task starts after every reader that was ready to run has asked. One more
            # iteration of the loop lets in readers that first await something that is already done.
            await asyncio.sleep(0)
            while self._waiting:
                # Reads that arrive while all connections are busy join the next query.
                try:
                    await self._limiter.acquire()
                except Exception as error:  # noqa: BLE001 - handed to everybody who waits for it
                    self._refuse(error)
                    return
                batch = self._take()
                if batch:
                    self._spawn(self._answer(batch))
                else:
                    self._limiter.release()
        finally:
            self._dispatching = False

    def _refuse(self, error: Exception) -> None:
        """Fail every waiting read with this error."""
        waiting, self._waiting = self._waiting, {}
        for answers in waiting.values():
            _fail(answers, error)

    def _take(self) -> dict[Key, list[asyncio.Future[Value | None]]]:
        taken = {}
        for key in list(islice(self._waiting, self._max_keys)):
            answers = [answer for answer in self._waiting.pop(key) if not answer.done()]
            if answers:
                taken[key] = answers
        return taken

    async def _answer(self, batch: dict[Key, list[asyncio.Future[Value | None]]]) -> None:
        """Run the query and complete every read of the batch, whatever happens."""
        error: Exception = RuntimeError("the query ended without an answer")
        try:
            await self._ask(batch, list(batch))
        except asyncio.CancelledError as cancelled:
            if self._closed:
                error = RetryLater("the gateway is closing")
                raise
            error = contained(cancelled, "the query")
        except Exception as failed:  # noqa: BLE001 - handed to everybody who waits for it
            error = failed
        except KeyboardInterrupt:
            raise
        except BaseException as escaping:  # noqa: BLE001 - ends this query, and not the bridge
            error = contained(escaping, "the query")
        finally:
            self._limiter.release()
            for answers in batch.values():
                _fail(answers, error)

    async def _ask(
        self, batch: dict[Key, list[asyncio.Future[Value | None]]], keys: list[Key]
    ) -> None:
        """Query these keys; if one of them is refused, query each half separately."""
        try:
            values = await self._fetch(keys, sum(len(batch[key]) for key in keys))
        except PER_KEY_ERRORS as error:
            if len(keys) == 1:
                _fail(batch[keys[0]], error)
                return
            middle = len(keys) // 2
            for half in (keys[:middle], keys[middle:]):
                try:
                    await self._limiter.wait_for_start()
                except RetryLater as later:
                    for key in half:
                        _fail(batch[key], later)
                    continue
                await self._ask(batch, half)
        except Exception as error:  # noqa: BLE001 - handed to everybody who waits for it
            for key in keys:
                _fail(batch[key], error)
        else:
            for key in keys:
                value = values.get(key)
                for answer in batch[key]:
                    if not answer.done():
                        answer.set_result(value)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fail(answers: list[asyncio.Future[Value | None]], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
