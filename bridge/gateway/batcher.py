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
"""Errors that one key of a query may cause, and that the others needn't suffer from."""


class Batcher(Generic[Key, Value]):
    """Loads values by key. `fetch` is given at most `max_keys` keys, none of them twice, and how
    many reads wait for them; it leaves out what it doesn't find.

    A read never joins a query that has begun: the caller gets what was true after it asked.
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
        """The value, or None. Raises what the query raised for this key; may be cancelled."""
        if self._closed:
            raise RetryLater("the gateway is closing")
        answer: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if not self._dispatching:
            self._dispatching = True
            self._spawn(self._dispatch())
        return await answer

    async def close(self) -> None:
        """End queries under way; who waits gets RetryLater."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._refuse(RetryLater("the gateway is closing"))

    async def _dispatch(self) -> None:
        try:
            # The task itself starts when every reader that is ready to run has asked. One more
            # turn takes along those who await something else that is ready before they ask.
            await asyncio.sleep(0)
            while self._waiting:
                # Whoever asks while all connections are busy comes along with the next query.
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
        """Everybody who waits gets this instead of an answer."""
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
        """Ask, and answer everybody in the batch, whatever comes of it."""
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
        """Answer these keys; the first half apart from the second where one of them is refused."""
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
