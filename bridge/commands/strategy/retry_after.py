"""A Writer that leaves its system alone for as long as that asked for (`RetryLater.after`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TypeVar

from bridge.connector import Done, Effect, Writer
from bridge.model.errors import RetryLater

T = TypeVar("T")


class RetryAfterWriter:
    """A Writer around a Writer without a ledger; `clock` in seconds.

    While the time isn't over every call raises RetryLater with what is left of it, and the system
    isn't asked.
    """

    def __init__(self, writer: Writer, clock: Callable[[], float] = monotonic) -> None:
        self._writer = writer
        self._clock = clock
        self._until = clock()
        self._why = ""

    @property
    def in_doubt_timeout(self) -> float:
        """As the Writer's."""
        return self._writer.in_doubt_timeout

    async def prepare(self) -> None:
        """As the Writer's."""
        await self._unless_held(self._writer.prepare)

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """As the Writer's."""
        outcomes = await self._unless_held(lambda: self._writer.execute(effects))
        for outcome in outcomes:
            self._note(outcome)
        return outcomes

    async def probe(self, effect: Effect) -> Done | None:
        """As the Writer's."""
        return await self._unless_held(lambda: self._writer.probe(effect))

    async def close(self) -> None:
        """As the Writer's."""
        await self._writer.close()

    async def _unless_held(self, call: Callable[[], Awaitable[T]]) -> T:
        left = self._until - self._clock()
        if left > 0:
            raise RetryLater(f"{self._why} (for {left:.0f} s more)", after=left)
        try:
            return await call()
        except RetryLater as error:
            self._note(error)
            raise

    def _note(self, outcome: object) -> None:
        if isinstance(outcome, RetryLater) and outcome.after is not None:
            until = self._clock() + outcome.after
            if until > self._until:
                self._until, self._why = until, str(outcome)
