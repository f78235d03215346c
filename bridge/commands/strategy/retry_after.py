"""Makes no calls to a system for as long as it asked for (`RetryLater.after`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TypeVar

from bridge.connector import Done, Effect, Writer
from bridge.model.errors import RetryLater

T = TypeVar("T")


class RetryAfterWriter:
    """A Writer around a Writer without a ledger; `clock` in seconds.

    Until then every call raises RetryLater with the remaining time, without calling the system.
    """

    def __init__(self, writer: Writer, clock: Callable[[], float] = monotonic) -> None:
        self._writer = writer
        self._clock = clock
        self._busy_until = clock()
        self._reason = ""

    @property
    def in_doubt_timeout(self) -> float:
        """As the Writer's."""
        return self._writer.in_doubt_timeout

    async def prepare(self) -> None:
        """As the Writer's."""
        await self._unless_busy(self._writer.prepare)

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """As the Writer's."""
        outcomes = await self._unless_busy(lambda: self._writer.execute(effects))
        for outcome in outcomes:
            self._note(outcome)
        return outcomes

    async def probe(self, effect: Effect) -> Done | None:
        """As the Writer's."""
        return await self._unless_busy(lambda: self._writer.probe(effect))

    async def close(self) -> None:
        """As the Writer's."""
        await self._writer.close()

    async def _unless_busy(self, call: Callable[[], Awaitable[T]]) -> T:
        remaining_s = self._busy_until - self._clock()
        if remaining_s > 0:
            raise RetryLater(f"{self._reason} (for {remaining_s:.0f} s more)", after=remaining_s)
        try:
            return await call()
        except RetryLater as error:
            self._note(error)
            raise

    def _note(self, outcome: object) -> None:
        if isinstance(outcome, RetryLater) and outcome.after is not None:
            until = self._clock() + outcome.after
            if until > self._busy_until:
                self._busy_until, self._reason = until, str(outcome)
