"""odatapy: an OData V4 service with change tracking, whose delta links can expire."""

import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import httpx

from tests.services.errors import ServerUnavailable
from tests.services.ports import free_ports
from tests.services.process import Process
from tests.services.server import ManagedService, ServerProcess

SCRIPT = Path(__file__).parent / "files" / "tracked" / "service.py"


class Odatapy(ManagedService):
    """The service. `url` is its root. `stop` keeps the data for the next `start`; so does `kill`
    where it was made to `keep` them.
    """

    def __init__(self, address: str, server: ServerProcess) -> None:
        super().__init__(server)
        self.address = address
        self.url = f"{address}/erp/"

    def stop(self) -> None:
        """End in order: the data and the port stay."""
        self._server.end(signal.SIGTERM)

    def client(self) -> httpx.Client:
        """A plain HTTP client, as the service's own users have it."""
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def expire(self) -> None:
        """Every delta link handed out so far is answered with 410."""
        httpx.post(f"{self.address}/-/expire", timeout=30, trust_env=False).raise_for_status()

    def empty(self) -> None:
        """Remove every row, and what became of them."""
        httpx.post(f"{self.address}/-/empty", timeout=30, trust_env=False).raise_for_status()

    def reset(self) -> None:
        """Count from 0."""
        httpx.post(f"{self.address}/-/reset", timeout=30, trust_env=False).raise_for_status()

    def count(self) -> int:
        """HTTP requests since `reset`."""
        answer = httpx.get(f"{self.address}/-/count", timeout=30, trust_env=False)
        return int(answer.raise_for_status().json()["requests"])


def local(*, keep: bool = False) -> Odatapy:
    """A process of its own, over no data. `keep`: a write is on disk before it is answered."""
    if find_spec("odatapy") is None:
        raise ServerUnavailable("odatapy is not installed: run `make setup`")
    folder = Path(tempfile.mkdtemp(prefix="bridge-odatapy-"))
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    argv = [sys.executable, str(SCRIPT), str(port), *(["keep"] if keep else [])]
    process = Process(argv, folder, lambda: answers(address))
    return Odatapy(address, process)


def answers(address: str) -> bool:
    """Whether it counts."""
    try:
        return httpx.get(f"{address}/-/count", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False
