"""What a service needs of the thing that runs it, and of one that runs elsewhere."""

import signal
from types import TracebackType
from typing import Protocol, Self

from tests.services import permission
from tests.services.errors import ServerUnavailable


class ServerProcess(Protocol):
    """A local program, a container, or an address."""

    @property
    def pid(self) -> int | None: ...
    def start(self) -> None: ...
    def end(self, sign: signal.Signals, seconds: float = 30) -> None: ...
    def close(self) -> None: ...


class Elsewhere:
    """A server that somebody else runs: it can be used, but not ended."""

    def __init__(self, address: str) -> None:
        self.address = address

    @property
    def pid(self) -> int | None:
        return None

    def start(self) -> None:
        """Nothing: it runs already."""

    def end(self, sign: signal.Signals, seconds: float = 30) -> None:
        """Refuse, because it is not ours."""
        raise ServerUnavailable(
            f"this test ends its server, and the one at {self.address} is not ours to end"
        )

    def close(self) -> None:
        """Nothing: it goes on running."""


class ManagedService:
    """A part that tests use, over the server that runs it. What it left stays until `close`."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The server's, where it is a local program."""
        return self._server.pid

    def start(self) -> None:
        """Start it, over what it left, and wait until it serves."""
        permission.check()
        self._server.start()

    def shut_down(self, seconds: float = 30) -> None:
        """SIGTERM, and SIGKILL after `seconds`. What it left and the port stay."""
        self._server.end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """SIGKILL. The port stays."""
        self._server.end(signal.SIGKILL)

    def close(self) -> None:
        """End it and remove what it left."""
        self._server.close()
