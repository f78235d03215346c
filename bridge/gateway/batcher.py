"""Reads of one shape that wait at the same time become one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from bridge.connector.answer_check import AnswerMismatch
from bridge.gateway.limiter import Limiter
from bridge.gateway.waiters import AwaitedQuery, WaitingKeys
from bridge.model.contained_errors import contained
from bridge.model.errors import Rejected, RetryLater, RowError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Fetch = Callable[[list[Key], int], Awaitable[Sequence[Value | None]]]

PER_KEY_ERRORS = (Rejected, RowError)
"""Errors that a single key may cause; they must not fail the query's other keys."""

MAX_TURNS: Final = 8
"""Turns of the event loop after which a query goes although each brought new keys."""


class Batcher(Generic[Key, Value]):
    """Loads values by key.
    `fetch`: called with at most `max_keys` distinct keys and the number of reads that wait for
    them; returns the value of each, in their order, None for a key that has none.
    `weigh`: how many of `max_keys` a key takes; 1 where it is None.

    What is ready asks first: the query goes after a turn of the event loop in which no new key
    came, and after `MAX_TURNS`; no time passes. A read never joins a query that has begun, so its
    result is never older than the call.

    Returned futures raise what the query raised for their keys. They may be cancelled, and whoever
    is cancelled while awaiting one calls `leave`: a query that nobody awaits any more is cancelled.
    """

    def __init__(
        self,
        fetch: Fetch[Key, Value],
        limiter: Limiter,
        max_keys: int,
        weigh: Callable[[Key], int] | None = None,
    ) -> None:
        self._fetch = fetch
        self._limiter = limiter
        self._max_keys = max(1, max_keys)
        self._weigh = weigh
        self._waiting = WaitingKeys()
        self._sent: set[AwaitedQuery] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatching = False
        self._closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits, and no query runs."""
        return not self._waiting and not self._tasks and not self._dispatching

    def load(self, key: Key) -> Awaitable[Value | None]:
        """The value, or None. Raises RetryLater once closed."""
        if self._closed:
            raise RetryLater("the gateway is closing")
        loop = asyncio.get_running_loop()
        waiter: Awaitable[Value | None] = self._waiting.add(loop, key)
        if not self._dispatching:
            self._dispatching = True
            loop.call_soon(self._turn, 0, MAX_TURNS)
        return waiter

    def load_many(self, keys: Sequence[Key]) -> asyncio.Future[list[Value | None]]:
        """The values, aligned with `keys`; the first error of one of them is raised. Raises
        RetryLater once closed.
        """
        if self._closed:
            raise RetryLater("the gateway is closing")
        loop = asyncio.get_running_loop()
        group = self._waiting.add_many(loop, keys)
        if keys and not self._dispatching:
            self._dispatching = True
            loop.call_soon(self._turn, 0, MAX_TURNS)
        return group.future

    def leave(self) -> None:
        """A read was cancelled: cancel queries that nobody waits for any more."""
        for query in self._sent:
            query.cancel_unawaited()

    async def close(self) -> None:
        """Cancel running queries; waiting reads raise RetryLater."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._refuse(RetryLater("the gateway is closing"))

    def _turn(self, keys_before: int, turns: int) -> None:
        """Send the query, or wait for one more turn of the event loop if the last brought keys."""
        count = len(self._waiting)
        if turns and count > keys_before:
            asyncio.get_running_loop().call_soon(self._turn, count, turns - 1)
        elif count and not self._closed:
            self._spawn(self._run())
        else:
            self._dispatching = False

    async def _run(self) -> None:
        """Wait for a connection and send what waits by then: reads that arrive while all are busy
        join the next query.
        """
        try:
            await self._limiter.acquire()
        except BaseException as error:  # noqa: BLE001 - handed to everybody who waits for it
            self._dispatching = False
            self._refuse(self._contained(error))
            self._raise_ending(error)
            return
        batch = self._waiting.take(self._max_keys, self._weigh)
        query = AwaitedQuery(asyncio.get_running_loop(), batch, self._current_task())
        if self._waiting:
            self._spawn(self._run())
        else:
            self._dispatching = False
        if query.batch:
            await self._answer(query)
        else:
            self._limiter.release()

    async def _answer(self, query: AwaitedQuery) -> None:
        """Run the query and complete every read of it, whatever happens."""
        self._sent.add(query)
        try:
            keys = list(query.batch)
            await self._ask(query, keys, iter(range((len(keys) - 1).bit_length())))
        except BaseException as error:  # noqa: BLE001 - ends this query, and not the bridge
            query.fail(list(query.batch), self._contained(error))
            self._raise_ending(error)
        finally:
            self._sent.discard(query)
            self._limiter.release()

    async def _ask(
        self, query: AwaitedQuery, keys: list[Key], wrong_answers: Iterator[int]
    ) -> None:
        """Query these keys; if one of them is refused, query each half separately.

        wrong_answers: has a value for each wrong answer after which halves are queried: enough to find
        one key that is answered wrongly, and not one query a key for a system that always does so.
        """
        try:
            values = await self._fetch(keys, query.reads(keys))
        except PER_KEY_ERRORS as error:
            is_wrong = isinstance(error, AnswerMismatch)
            if len(keys) == 1 or (is_wrong and next(wrong_answers, None) is None):
                query.fail(keys, error)
                return
            middle = len(keys) // 2
            for half in (keys[:middle], keys[middle:]):
                awaited = query.awaited(half)
                if not awaited:
                    continue
                try:
                    await self._limiter.wait_for_start()
                except RetryLater as later:
                    query.fail(awaited, later)
                    continue
                await self._ask(query, awaited, wrong_answers)
        except Exception as error:  # noqa: BLE001 - handed to everybody who waits for it
            query.fail(keys, error)
        else:
            query.answer(keys, values)

    def _refuse(self, error: Exception) -> None:
        """Fail every waiting read with this error."""
        self._waiting.fail(asyncio.get_running_loop(), error)

    def _contained(self, error: BaseException) -> Exception:
        """What reads are told of an error that ended their query."""
        if self._closed and isinstance(error, asyncio.CancelledError):
            return RetryLater("the gateway is closing")
        return contained(error, "the query")

    def _raise_ending(self, error: BaseException) -> None:
        """Raise what ends the program, or this task as `close` ends it."""
        if isinstance(error, KeyboardInterrupt) or (
            self._closed and isinstance(error, asyncio.CancelledError)
        ):
            raise error

    @staticmethod
    def _current_task() -> asyncio.Task[None]:
        task = asyncio.current_task()
        assert task is not None, "queries run in tasks"  # noqa: S101
        return task

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
