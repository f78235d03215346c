"""Who waits for a key: a single read by its own future, a read of many keys by one for all of them.

A future belongs to one read, also where several reads wait for the same key: a task that is
cancelled cancels the future that it awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class KeyGroup(Generic[Key, Value]):
    """The values of many keys, aligned with them, as one future.

    keys: in the caller's order; a key may be among them several times.
    """

    __slots__ = ("_keys", "done", "future", "missing", "values")

    def __init__(self, keys: Sequence[Key]) -> None:
        self.future: asyncio.Future[list[Value | None]] = asyncio.get_running_loop().create_future()
        self.done = self.future.done
        self.values: dict[Key, Value | None] = {}
        self.missing = len(keys)
        self._keys = keys
        if not keys:
            self.complete()

    def complete(self) -> None:
        """Nothing is missing any more: each key has its value, once for each time that it came."""
        if not self.done():
            values = self.values
            self.future.set_result([values[key] for key in self._keys])

    def fail(self, error: Exception) -> None:
        """The first error of a key is the whole group's."""
        if not self.done():
            self.future.set_exception(error)


Waiter = asyncio.Future[Value | None] | KeyGroup[Key, Value]


class AwaitedQuery(Generic[Key, Value]):
    """The reads that wait for one query, by key.

    batch: distinct key -> the reads that wait for it; without the keys that have their answer.
    task: runs the query.
    """

    def __init__(
        self, batch: dict[Key, list[Waiter[Value, Key]]], task: asyncio.Task[None]
    ) -> None:
        self.batch = batch
        self.is_cancelled = False
        self._task = task
        self._waiters = [waiter for waiters in batch.values() for waiter in waiters]

    def cancel_unawaited(self) -> None:
        """Cancel the query if nobody waits for it any more. All calls together look at each read
        once.
        """
        waiters = self._waiters
        while waiters and waiters[-1].done():
            waiters.pop()
        if not waiters and not self.is_cancelled:
            self.is_cancelled = True
            self._task.cancel()

    def awaited(self, keys: Sequence[Key]) -> list[Key]:
        """Those of the keys that somebody still waits for."""
        return [key for key in keys if any(not waiter.done() for waiter in self.batch[key])]

    def reads(self, keys: Sequence[Key]) -> int:
        """How many reads wait for these keys."""
        return sum([len(self.batch[key]) for key in keys])

    def answer(self, keys: Sequence[Key], values: Sequence[Value | None]) -> None:
        """Complete the reads that wait for these keys. Raises ValueError for more or fewer values."""
        batch = self.batch
        if len(values) != len(keys):
            raise ValueError(f"{len(values)} values for {len(keys)} keys")
        for key, value in zip(keys, values, strict=True):
            for waiter in batch.pop(key):
                if isinstance(waiter, KeyGroup):
                    waiter.values[key] = value
                    waiter.missing -= 1
                    if not waiter.missing:
                        waiter.complete()
                elif not waiter.done():
                    waiter.set_result(value)

    def fail(self, keys: Sequence[Key], error: Exception) -> None:
        """Fail the reads that wait for these keys."""
        for key in keys:
            fail_waiters(self.batch.pop(key), error)


def fail_waiters(waiters: Sequence[Waiter[Value, Key]], error: Exception) -> None:
    """Fail those that have no answer yet."""
    for waiter in waiters:
        if isinstance(waiter, KeyGroup):
            waiter.fail(error)
        elif not waiter.done():
            waiter.set_exception(error)
