"""Who waits for a key: a single read by itself, a read of many keys by one future for all of them.

The file runs interpreted as it stands, and compiled with the C types of `waiters.pxd`.

A waiter belongs to one read, also where several reads wait for the same key: a task that is
cancelled cancels the waiter that it awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any

try:
    import cython
except ImportError:  # Cython is needed to compile this file, never to run it.
    from bridge.plan import uncompiled as cython

#: Whether this is the compiled form.
COMPILED: bool = bool(cython.compiled)


class ReadWaiter:
    """The value of one read, as a future: what tasks, `gather` and `wait_for` ask of one.

    A future of asyncio takes a call of the event loop when it is done; those of one query share one
    here (see `wake`). Source: an object with `_asyncio_future_blocking` is a future
    (https://docs.python.org/3/library/asyncio-future.html#asyncio.isfuture).
    """

    __slots__ = (
        "_asyncio_future_blocking", "callback", "context", "error", "is_cancelled", "is_done",
        "loop", "message", "others", "traceback", "value",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self.loop = loop
        self.is_done = False
        self.is_cancelled = False
        self.value: Any = None
        self.error: Any = None
        #: Of the error, as all reads of the query begin with it.
        self.traceback: Any = None
        self.message: Any = None
        self.callback: Any = None
        self.context: Any = None
        #: Callbacks after the first, with their contexts; a task adds one.
        self.others: Any = None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop whose tasks await it."""
        return self.loop

    def done(self) -> bool:
        """Whether it has a value or an error, or is cancelled."""
        return self.is_done

    def cancelled(self) -> bool:
        """Whether its read was cancelled."""
        return self.is_cancelled

    def cancel(self, msg: Any = None) -> bool:
        """Its read is cancelled. False if it was done before."""
        if self.is_done:
            return False
        self.is_done = self.is_cancelled = True
        self.message = msg
        if self.callback is not None:
            self.loop.call_soon(wake, self.loop, [self])
        return True

    def result(self) -> Any:
        """The value. Raises the error, CancelledError, or InvalidStateError before it is done."""
        error = self.exception()
        if error is not None:
            raise error.with_traceback(self.traceback)
        return self.value

    def exception(self) -> Any:
        """The error, or None. Raises as `result` otherwise."""
        if not self.is_done:
            raise asyncio.InvalidStateError("the read has no answer yet")
        if self.is_cancelled:
            raise asyncio.CancelledError(*(() if self.message is None else (self.message,)))
        return self.error

    def add_done_callback(
        self, callback: Callable[[Any], Any], *, context: Context | None = None
    ) -> None:
        """Call `callback` with this in a call of the event loop's once it is done."""
        if context is None:
            context = copy_context()
        if self.is_done:
            self.loop.call_soon(callback, self, context=context)
        elif self.callback is None:
            self.callback, self.context = callback, context
        elif self.others is None:
            self.others = [(callback, context)]
        else:
            self.others.append((callback, context))

    def remove_done_callback(self, callback: Callable[[Any], Any]) -> int:
        """Don't call `callback`; how often it would have been called."""
        if self.is_done or self.callback is None:
            return 0
        callbacks = [(self.callback, self.context), *(self.others or ())]
        kept = [each for each in callbacks if each[0] != callback]
        self.callback = self.context = self.others = None
        for each, context in kept:
            self.add_done_callback(each, context=context)
        return len(callbacks) - len(kept)

    def call_next(self) -> None:
        """Call its first callback, which it has no longer."""
        callback, context = self.callback, self.context
        if self.others:
            self.callback, self.context = self.others.pop(0)
        else:
            self.callback = self.context = None
        try:
            context.run(callback, self)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio.Handle
            message = f"Exception in callback {callback!r}"
            self.loop.call_exception_handler({"message": message, "exception": error})

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> ReadWaiter:
        return self

    def __next__(self) -> Any:
        """For the task that awaits it: itself until it is done, then the end, with the value."""
        if not self.is_done:
            self._asyncio_future_blocking = True
            return self
        if self.error is not None or self.is_cancelled:
            return self.result()
        raise StopIteration(self.value)


def wake(loop: asyncio.AbstractEventLoop, waiters: list[Any]) -> None:
    """Call what waits for each of these, in order and as the event loop calls callbacks of futures: an
    error of one is nothing to the others.
    """
    at = 0
    try:
        for waiter in waiters:
            while waiter.callback is not None:
                waiter.call_next()
            at += 1
    finally:
        # Something ends the program, such as KeyboardInterrupt in a task.
        if at < len(waiters):
            loop.call_soon(wake, loop, waiters[at:])


class KeyGroup:
    """The values of many keys, aligned with them, as one future.

    keys: in the caller's order; a key may be among them several times.
    """

    __slots__ = ("future", "keys", "missing", "values")

    def __init__(self, loop: asyncio.AbstractEventLoop, keys: Sequence[Any]) -> None:
        self.future: asyncio.Future[list[Any]] = loop.create_future()
        self.values: dict[Any, Any] = {}
        self.missing = len(keys)
        self.keys = keys
        if not keys:
            self.complete()

    def done(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()

    def complete(self) -> None:
        """Nothing is missing any more: each key has its value, once for each time that it came."""
        if not self.future.done():
            values = self.values
            self.future.set_result([values[key] for key in self.keys])

    def fail(self, error: Exception) -> None:
        """The first error of a key is the whole group's."""
        if not self.future.done():
            self.future.set_exception(error)


#: Of one key: a waiter, or several.
Waiters = ReadWaiter | KeyGroup | list[ReadWaiter | KeyGroup]


class WaitingKeys:
    """The keys of the next queries, in the order in which they came, and who waits for each."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: dict[Any, Waiters] = {}

    def __len__(self) -> int:
        return len(self.waiters)

    def add(self, loop: asyncio.AbstractEventLoop, key: Any) -> ReadWaiter:
        """A read waits for a key."""
        waiter = ReadWaiter(loop)
        earlier = self.waiters.setdefault(key, waiter)
        if earlier is not waiter:
            self._join(key, earlier, waiter)
        return waiter

    def add_many(self, loop: asyncio.AbstractEventLoop, keys: Sequence[Any]) -> KeyGroup:
        """A read waits for all of these keys."""
        group = KeyGroup(loop, keys)
        waiters = self.waiters
        count = len(waiters)
        for key in keys:
            earlier = waiters.setdefault(key, group)
            if len(waiters) > count:
                count += 1
            else:
                self._join(key, earlier, group)
        return group

    def take(self, max_keys: int, weigh: Callable[[Any], int] | None) -> dict[Any, Waiters]:
        """Take the keys of the next query, with the reads that still wait for them. See Batcher."""
        waiting = self.waiters
        taken: dict[Any, Waiters] = {}
        passed = []
        left = max_keys
        for key, waiters in waiting.items():
            if isinstance(waiters, list):
                waiters = [waiter for waiter in waiters if not waiter.done()]  # noqa: PLW2901
            if waiters if isinstance(waiters, list) else not waiters.done():
                left -= weigh(key) if weigh is not None else 1
                if left < 0 and taken:
                    break
                taken[key] = waiters
            passed.append(key)
        if len(passed) == len(waiting):
            self.waiters = {}
        else:
            for key in passed:
                del waiting[key]
        return taken

    def fail(self, loop: asyncio.AbstractEventLoop, error: Exception) -> None:
        """Fail every read that waits."""
        waiting, self.waiters = self.waiters, {}
        fail_waiters(loop, list(waiting.values()), error)

    def _join(self, key: Any, earlier: Any, waiter: Any) -> None:
        if isinstance(earlier, list):
            earlier.append(waiter)
        else:
            self.waiters[key] = [earlier, waiter]


class AwaitedQuery:
    """The reads that wait for one query, by key.

    batch: distinct key -> the reads that wait for it; without the keys that have their answer.
    task: runs the query.
    """

    __slots__ = ("_unanswered", "batch", "is_cancelled", "loop", "task")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, batch: dict[Any, Any], task: asyncio.Task[None]
    ) -> None:
        self.loop = loop
        self.batch = batch
        self.task = task
        self.is_cancelled = False
        #: Reads that may still wait, once that was asked.
        self._unanswered: list[Any] | None = None

    def cancel_unawaited(self) -> None:
        """Cancel the query if nobody waits for it any more. All calls together look at each read
        once.
        """
        waiters = self._unanswered
        if waiters is None:
            waiters = self._unanswered = [
                waiter for waiters in self.batch.values() for waiter in _each(waiters)
            ]
        while waiters and waiters[-1].done():
            waiters.pop()
        if not waiters and not self.is_cancelled:
            self.is_cancelled = True
            self.task.cancel()

    def awaited(self, keys: Sequence[Any]) -> list[Any]:
        """Those of the keys that somebody still waits for."""
        return [key for key in keys if not all(each.done() for each in _each(self.batch[key]))]

    def reads(self, keys: Sequence[Any]) -> int:
        """How many reads wait for these keys."""
        batch = self.batch
        count = 0
        for key in keys:
            waiters = batch[key]
            count += len(waiters) if isinstance(waiters, list) else 1
        return count

    def answer(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Complete the reads that wait for these keys. Raises ValueError for more or fewer values."""
        if len(values) != len(keys):
            raise ValueError(f"{len(values)} values for {len(keys)} keys")
        batch = self.batch
        completed: list[ReadWaiter] = []
        for at, key in enumerate(keys):
            value = values[at]
            waiters = batch.pop(key)
            if isinstance(waiters, list):
                for waiter in waiters:
                    _complete(waiter, key, value, completed)
            else:
                _complete(waiters, key, value, completed)
        if completed:
            self.loop.call_soon(wake, self.loop, completed)

    def fail(self, keys: Sequence[Any], error: Exception) -> None:
        """Fail the reads that wait for these keys."""
        fail_waiters(self.loop, [self.batch.pop(key) for key in keys], error)


def _complete(waiter: Any, key: Any, value: Any, completed: list[Any]) -> None:
    """Give a waiter the value of a key; one that is to be woken is added to `completed`."""
    if isinstance(waiter, ReadWaiter):
        single = waiter
        if not single.is_done:
            single.is_done = True
            single.value = value
            completed.append(single)
    else:
        group = waiter
        group.values[key] = value
        group.missing -= 1
        if group.missing == 0:
            group.complete()


def _each(waiters: Any) -> Any:
    return waiters if isinstance(waiters, list) else (waiters,)


def fail_waiters(loop: asyncio.AbstractEventLoop, of_keys: Sequence[Any], error: Exception) -> None:
    """Fail those that have no answer yet. of_keys: the waiters of each key."""
    completed: list[ReadWaiter] = []
    for waiters in of_keys:
        for waiter in _each(waiters):
            if not isinstance(waiter, ReadWaiter):
                waiter.fail(error)
                continue
            single = waiter
            if not single.is_done:
                single.is_done = True
                single.error = error
                single.traceback = error.__traceback__
                completed.append(single)
    if completed:
        loop.call_soon(wake, loop, completed)
