"""SAP CAP: the ERP of `files/cap`, served by OData V4 and, through SAP's adapter, by V2."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx

from tests.secret_scan import secret
from tests.services.errors import ServerUnavailable
from tests.services.install import cap_modules
from tests.services.ports import free_ports
from tests.services.process import Process
from tests.services.server import Elsewhere, ManagedService, ServerProcess

FILES = Path(__file__).parent / "files" / "cap"
USER, PASSWORD = "bridge", secret("cap")  # as in files/cap/login.js
Auth = Literal["none", "basic", "oauth", "apikey"]


class Count(NamedTuple):
    """What the server was asked since `reset`: HTTP requests of each version, and the operations
    that they held (a `$batch` holds several).
    """

    v4: int
    v2: int
    operations: int
    paths: tuple[str, ...]


class Cap(ManagedService):
    """The ERP. `url` is the V4 service's root, `v2` that of V2, both with the user's password
    where the server asks for one; `bare` and `bare_v2` are without.

    `stop` keeps the data for the next `start`; `kill` loses them.
    """

    def __init__(self, address: str, server: ServerProcess, auth: Auth = "basic") -> None:
        super().__init__(server)
        scheme, _, host = address.rstrip("/").partition("://")
        login = f"{USER}:{PASSWORD}@" if auth == "basic" else ""
        self.address = address.rstrip("/")
        self.bare = f"{self.address}/odata/v4/erp/"
        self.bare_v2 = f"{self.address}/odata/v2/erp/"
        self.url = f"{scheme}://{login}{host}/odata/v4/erp/"
        self.v2 = f"{scheme}://{login}{host}/odata/v2/erp/"
        self.token_url = f"{self.address}/-/token"

    def stop(self) -> None:
        """End in order: the data and the port stay."""
        self._server.end(signal.SIGTERM)

    def client(self) -> httpx.Client:
        """A plain HTTP client of the V4 service, as the ERP's own users have it."""
        return httpx.Client(
            base_url=self.url,
            timeout=30,
            trust_env=False,
            headers={"Accept": "application/json;IEEE754Compatible=true"},
        )

    def empty(self) -> None:
        """Remove every row."""
        self._post("empty")

    def fill(self, **sizes: int) -> None:
        """Orders with lines: `orders`, `lines` each, `products`, `customers`; `from` for more of
        them (then orders alone). Keys count from 0: `order_id`, `C0`, `P0`.
        """
        self._post("fill", sizes)

    def write(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Rows as they are, in one transaction, past the service: what manages `modifiedAt` has no
        say. Those that are there are changed.
        """
        self._post("write", {"table": table, "rows": rows})

    def forget(self) -> None:
        """Every token that was handed out, of OAuth2 and against forgery, is void."""
        self._post("forget")

    def reset(self) -> None:
        """Count from 0."""
        self._post("reset")

    def count(self) -> Count:
        """What was asked since `reset`."""
        answer = httpx.get(f"{self.address}/-/count", timeout=30, trust_env=False)
        counts: dict[str, Any] = answer.raise_for_status().json()
        return Count(counts["v4"], counts["v2"], counts["operations"], tuple(counts["paths"]))

    def _post(self, what: str, body: Mapping[str, Any] | None = None) -> None:
        url = f"{self.address}/-/{what}"
        httpx.post(url, json=body or {}, timeout=60, trust_env=False).raise_for_status()


def order_id(number: int) -> str:
    """The key of the `number`th order that `fill` makes."""
    return f"00000000-0000-4000-8000-{number:012d}"


def elsewhere(address: str) -> Cap:
    """The server at an address (`http://host:port`), started from files/cap with AUTH=basic."""
    return Cap(address, Elsewhere(address))


def local(
    auth: Auth = "basic",
    *,
    csrf: bool = False,
    page: int | None = None,
    token_seconds: float = 3600,
) -> Cap:
    """A server of its own, as a local program over no data.

    `csrf`: writes need SAP's token; `page`: rows of a page at most.
    """
    modules, node = cap_modules(), shutil.which("node")
    if modules is None or node is None or node_version(node) < (20,):
        raise ServerUnavailable(
            "SAP CAP is not installed: run `make services` (needs Node 20 or later and npm), "
            "or set BRIDGE_TEST_CAP=http://host:port"
        )
    folder = Path(tempfile.mkdtemp(prefix="bridge-cap-"))
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(modules)
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    env = {
        "PORT": str(port),
        "AUTH": auth,
        "CSRF": "1" if csrf else "",
        "PAGE": str(page or ""),
        "TOKEN_SECONDS": str(token_seconds),
        "NO_TELEMETRY": "true",
    }
    process = Process([node, "server.js"], folder, lambda: answers(address), env=env)
    return Cap(address, process, auth)


def answers(address: str) -> bool:
    """Whether the server counts."""
    try:
        return httpx.get(f"{address}/-/count", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


@cache
def node_version(node: str) -> tuple[int, ...]:
    """Node's version as numbers."""
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(int(part) for part in version.strip().lstrip("v").split(".") if part.isdecimal())
