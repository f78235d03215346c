"""Keeps the password of Kafka's clients current: a password replaced in its file reaches running
clients.

aiokafka logs a refused login and retries by itself, without an error: so the password is read every
few seconds instead. Open connections stay open; the next ones log in with the new password.
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
    """Keeps the newest password in the `arguments` of future clients, and in the added clients.

    `read`: reads it; raises ConfigurationError while it is missing.
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
        """Start watching."""
        self._arguments = arguments
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def add(self, client: Any) -> None:
        """Add a client of aiokafka, held by a weak reference."""
        self._clients.add(client)

    async def stop(self) -> None:
        """Stop watching. May be called twice."""
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
                continue  # Files are replaced one after the other: it is read again later.
            if password and password != self._arguments.get("sasl_plain_password"):
                register_login(self._username, password, "kafka")
                self._arguments["sasl_plain_password"] = password
                for client in list(self._clients):
                    internals.set_password(client, password)
