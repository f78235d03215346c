"""The password of Kafka's clients as it is now: one that is replaced in its file reaches those that run.

aiokafka logs a refused login and asks again by itself, so that nobody learns of it: the password is
looked up every few seconds instead. Connections that are open stay; the next ones log in with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

from bridge.log.kafka import internals
from bridge.model.errors import ConfigurationError
from bridge.model.redaction import register_login

READ_AGAIN_S: Final = 5.0


class CurrentPassword:
    """Keeps `arguments` of clients to come, and the clients that it is given, at the newest password.

    `read` looks it up and raises ConfigurationError while it isn't there.
    """

    def __init__(
        self, username: str, read: Callable[[], str], *, read_again_s: float = READ_AGAIN_S
    ) -> None:
        self._username = username
        self._read = read
        self._read_again_s = read_again_s
        self._arguments: dict[str, Any] = {}
        self._clients: WeakSet[Any] = WeakSet()
        self._task: asyncio.Task[None] | None = None

    def start(self, arguments: dict[str, Any]) -> None:
        """Look from now on."""
        self._arguments = arguments
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def add(self, client: Any) -> None:
        """One more client of aiokafka, held no longer than others hold it."""
        self._clients.add(client)

    async def stop(self) -> None:
        """Look no more. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._read_again_s)
            try:
                password = await asyncio.to_thread(self._read)
            except ConfigurationError:
                continue  # Files are replaced one after the other: it is looked at again.
            if password and password != self._arguments.get("sasl_plain_password"):
                register_login(self._username, password, "kafka")
                self._arguments["sasl_plain_password"] = password
                for client in list(self._clients):
                    internals.set_password(client, password)
