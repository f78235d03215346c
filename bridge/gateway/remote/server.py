"""The owner's side: listens for clients of one system, and answers them until it leaves."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path
from typing import Final

from bridge.closing import close_all
from bridge.gateway.remote.address import GatewayAddress, bind_private, server_context
from bridge.gateway.remote.served_system import ServedSystem
from bridge.gateway.remote.server_connection import ServerConnection, ServerLimits
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.redaction import redact

LEAVING_S: Final = 3.0
"""How long an orderly end waits for the answers that are under way."""
_ROOT: Final = 0
_log = logging.getLogger(__name__)


class ReadServer:
    """Answers the clients of one system at one address. Used by one event loop.

    users: who may connect to a Unix socket, by user id; None: this process's own and root.
    """

    def __init__(
        self,
        served: ServedSystem,
        address: GatewayAddress,
        limits: ServerLimits | None = None,
        *,
        users: frozenset[int] | None = None,
    ) -> None:
        self.served = served
        self.limits = limits or ServerLimits()
        self.token = "" if address.path else address.token
        self.users = frozenset({os.geteuid(), _ROOT}) if users is None else users
        self.is_leaving = False
        self.dismissed = 0
        self._address = address
        self._connections: set[ServerConnection] = set()
        self._server: asyncio.Server | None = None
        self._identity: tuple[int, int] | None = None

    async def open(self) -> None:
        """Listen. Raises ConfigurationError if the address, the certificate or the token can't be
        used, RetryLater while another process has the port.
        """
        loop = asyncio.get_running_loop()
        address = self._address
        if address.path:
            listener = bind_private(Path(address.path))
            self._identity = _identity(Path(address.path))
            self._server = await loop.create_unix_server(
                lambda: ServerConnection(self), sock=listener
            )
            return
        if not address.token:
            raise ConfigurationError(
                "a gateway that listens on TCP needs `token:` under `gateway:`"
            )
        try:
            self._server = await loop.create_server(
                lambda: ServerConnection(self),
                address.host,
                address.port,
                ssl=server_context(address.tls),
            )
        except OSError as error:
            # An owner before this one, of this machine, may be frozen and still have the port.
            kind = RetryLater if error.errno == errno.EADDRINUSE else ConfigurationError
            raise kind(
                f"the gateway of system {self.served.name!r} can't listen on {address}: "
                f"{error.strerror or error}"
            ) from None

    @property
    def clients(self) -> list[str]:
        """The registered clients, for people."""
        return sorted(each.peer for each in self._connections if each.is_registered)

    @property
    def requests(self) -> int:
        """Open questions of all clients."""
        return sum(len(each.requests) for each in self._connections)

    @property
    def port(self) -> int:
        """The port that is listened on (TCP only)."""
        assert self._server is not None  # noqa: S101 - opened
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, leaving_s: float = LEAVING_S) -> None:
        """Take no further questions, answer those under way for at most so long, then disconnect."""
        self.is_leaving = True
        if self._server is not None:
            self._server.close()
        self._remove_socket()
        for connection in self._connections:
            connection.leave()
        await close_all(lambda: self._finish(leaving_s), self._disconnect)

    async def _finish(self, seconds: float) -> None:
        if running := self._running:
            await asyncio.wait(running, timeout=seconds)

    async def _disconnect(self) -> None:
        running = self._running
        for connection in list(self._connections):
            connection.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @property
    def _running(self) -> list[asyncio.Task[None]]:
        return [task for each in self._connections for task in each.requests.values()]

    def _remove_socket(self) -> None:
        """Unless another owner has put its own there."""
        path = Path(self._address.path)
        if self._address.path and self._identity == _identity(path):
            path.unlink(missing_ok=True)

    # -- of connections ------------------------------------------------------------------------

    def opened(self, connection: ServerConnection) -> None:
        """As `ConnectionHost.opened`."""
        if len(self._connections) >= self.limits.connections:
            raise RetryLater(
                f"the gateway of system {self.served.name!r} has {self.limits.connections} clients, "
                "and takes no more"
            )
        self._connections.add(connection)

    def closed(self, connection: ServerConnection) -> None:
        """As `ConnectionHost.closed`."""
        self._connections.discard(connection)

    def has_room(self) -> bool:
        """As `ConnectionHost.has_room`."""
        limits = self.limits
        if len(self._connections) * limits.requests_per_connection <= limits.requests:
            return True
        return self.requests < limits.requests

    def report(self, connection: ServerConnection, problem: str) -> None:
        """As `ConnectionHost.report`."""
        self.dismissed += 1
        _log.warning(
            "the gateway of system %s ended the connection of %s: %s",
            self.served.name,
            redact(connection.peer),
            problem,
        )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
