"""What agents need of the systems, each opened by itself.

An unavailable system, one that refuses its login or has an invalid address, delays only the callers
that use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from bridge.model.error_text import describe_error, error_message
from bridge.model.errors import BridgeError
from bridge.observe import Observer, PartState

OPENING_TIMEOUT_S = 5.0
"""How long an agent that starts waits for systems; those that take longer are opened meanwhile."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0


class SystemAccess:
    """Opens every system, repeatedly where need be. `unavailable`: why one isn't open yet, by
    its name; whoever holds it sees it change.
    """

    def __init__(
        self,
        names: Iterable[str],
        open_system: Callable[[str], Awaitable[None]],
        observer: Observer,
    ) -> None:
        self.unavailable = dict.fromkeys(names, "it is being opened")
        self._open_system = open_system
        self._observer = observer
        self._first: dict[str, asyncio.Task[None]] = {}
        self._again: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Returns once each system is open, or was tried, or the time is over."""
        for name in self.unavailable:
            if name not in self._first:
                self._first[name] = asyncio.create_task(self._try(name))
        if self._first:
            await asyncio.wait(self._first.values(), timeout=OPENING_TIMEOUT_S)

    async def close(self) -> None:
        """Try no longer."""
        tasks = [*self._first.values(), *self._again]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _try(self, name: str) -> None:
        """The first try; further ones follow by themselves."""
        if await self._opened(name):
            self._observer(PartState("reads", name, "opened"))
        else:
            self._again.add(asyncio.create_task(self._try_again(name)))

    async def _try_again(self, name: str) -> None:
        pause = SHORTEST_PAUSE_S
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            if await self._opened(name):
                self._observer(PartState("reads", name, "running"))
                return

    async def _opened(self, name: str) -> bool:
        try:
            await self._open_system(name)
        except BridgeError as error:
            reason = error_message(error)
        except Exception as error:  # noqa: BLE001 - whatever a connector raises is about its system
            reason = f"a defect of its connector: {describe_error(error)}"
        else:
            del self.unavailable[name]
            return True
        self.unavailable[name] = reason
        self._observer(PartState("reads", name, "retrying", reason))
        return False
