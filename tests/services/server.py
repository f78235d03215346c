"""What a service needs of the thing that runs it, and of one that runs elsewhere."""

import signal
from typing import Protocol

from tests.services.errors import Unavailable


class Server(Protocol):
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
        raise Unavailable(
            f"this test ends its server, and the one at {self.address} is not ours to end"
        )

    def close(self) -> None:
        """Nothing: it goes on running."""
