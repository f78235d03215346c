"""One load of peers' keys, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from bridge.gateway.batcher import Batcher
from bridge.gateway.key_lookup import Rows
from bridge.gateway.peers.peer_group import Values
from bridge.model.read_demands import ReadCause

OnLoaded = Callable[[dict[Values, Rows | None]], None]


class PeerLoad:
    """Reads keys that nobody has asked for yet.

    A key that fails has no answer: who asks for it later hears why. It is cancelled when everybody
    who waited for it is, and otherwise ends by itself.
    asked_at: seconds of the monotonic clock. cause: on whose behalf.
    on_loaded: called once with the answers, in the event loop.
    """

    def __init__(
        self,
        batches: Batcher[Values, Rows],
        keys: Sequence[Values],
        asked_at: float,
        cause: ReadCause | None,
        on_loaded: OnLoaded,
    ) -> None:
        self.asked_at = asked_at
        self.cause = cause
        self._batches = batches
        # What `load` returns is a future, whichever class it is of.
        self._waiters: dict[Values, asyncio.Future[Rows | None]] = {
            key: cast("asyncio.Future[Rows | None]", batches.load(key)) for key in keys
        }
        self._on_loaded: OnLoaded | None = on_loaded
        self._waiting = 0
        self._task = asyncio.ensure_future(self._run())

    async def wait(self) -> None:
        """Return once it has ended, however."""
        self._waiting += 1
        try:
            await asyncio.wait((self._task,))
        except asyncio.CancelledError:
            self._leave()
            raise
        self._waiting -= 1

    def hold(self) -> None:
        """One more waits for it, by its own read of the same query."""
        self._waiting += 1

    def release(self, *, cancelled: bool) -> None:
        """That read has ended. Hands the answers over if they are there."""
        if cancelled:
            self._leave()
            return
        self._waiting -= 1
        if all(waiter.done() for waiter in self._waiters.values()):
            self._hand_over()

    def _leave(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            # Those of one query are there at the same time, so that only the first is waited for.
            for waiter in self._waiters.values():
                if not waiter.done():
                    await asyncio.wait((waiter,))
        finally:
            for waiter in self._waiters.values():
                waiter.cancel()
            self._batches.leave()
            self._hand_over()

    def _hand_over(self) -> None:
        on_loaded, self._on_loaded = self._on_loaded, None
        if on_loaded is not None:
            on_loaded(
                {
                    key: waiter.result()
                    for key, waiter in self._waiters.items()
                    if not waiter.cancelled() and waiter.exception() is None
                }
            )
