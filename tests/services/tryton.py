"""Tryton, a whole ERP: parties, products, stock, accounts and sales, over JSON-RPC.

It is installed into an environment of its own and run from there, because it is under the GPL and
nothing of ours imports it. The prepared company is made once for each kind of database, and copied
for each server.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from functools import cached_property
from pathlib import Path

from tests.services import postgres
from tests.services.errors import ServerUnavailable
from tests.services.install import cache
from tests.services.ports import free_ports
from tests.services.process import Process
from tests.services.server import ManagedService
from tests.services.tryton_company import CLERK, OUTSIDER, PASSWORD, prepare
from tests.services.tryton_rpc import TrytonRpc
from tests.services.tryton_store import DATABASE, Database, File, TrytonStore

SERIES = "8.2"
PACKAGES = [
    *[f"{name}~={SERIES}.0" for name in ("trytond[postgresql]", "trytond-sale")],
    # Its library in C comes along, so that no system package is needed.
    "psycopg[binary]",
]
FILES = Path(__file__).parent / "files" / "tryton"
DUMP = "erp.dump"
USER = "admin"
CONFIGURATION = """\
[database]
{store}
[web]
listen = 127.0.0.1:{port}
[session]
max_age = {session_seconds}
[wsgi middleware]
calls = bridge_calls.CallCounter
"""


class Tryton(ManagedService):
    """The ERP. `url` is the administrator's; `stop` keeps the data for the next `start`."""

    def __init__(
        self, installation: Path, folder: Path, store: TrytonStore, session_seconds: int
    ) -> None:
        [port] = free_ports(1)
        self.store = store
        self.address = f"http://127.0.0.1:{port}"
        self.url = self.url_of(USER)
        self._calls = folder / "calls.log"
        self._calls.touch()
        super().__init__(_server(installation, port, folder, store, session_seconds))

    def url_of(self, user: str, password: str = PASSWORD) -> str:
        """The URL with another login."""
        return self.address.replace("://", f"://{user}:{password.replace(' ', '%20')}@") + "/erp"

    @cached_property
    def rpc(self) -> TrytonRpc:
        """The administrator's session, in the context of the company."""
        rpc = TrytonRpc(self.address, DATABASE, USER, PASSWORD)
        rpc.context["company"] = rpc.the("company.company")
        return rpc

    def calls(self) -> list[str]:
        """The remote calls since `reset`, by name, whoever made them."""
        return self._calls.read_text().split()

    def reset(self) -> None:
        """Forget the calls."""
        os.truncate(self._calls, 0)

    def stop(self) -> None:
        """End in order."""
        self._server.end(signal.SIGTERM)


def tryton_folder() -> Path:
    """Named by what it holds, so that another version is installed beside it."""
    digest = hashlib.sha256(" ".join(PACKAGES).encode())
    own = [Path(__file__).with_name(name) for name in ("tryton_company.py", "tryton_rpc.py")]
    for path in sorted((*FILES.rglob("*.py"), *FILES.rglob("*.cfg"), *own)):
        digest.update(path.read_bytes())
    return cache() / f"tryton-{digest.hexdigest()[:12]}"


def tryton_dump() -> Path:
    """The folder of the same company, from PostgreSQL."""
    return tryton_folder().with_name(tryton_folder().name.replace("tryton", "tryton-postgres"))


def local(session_seconds: int = 30 * 24 * 3600) -> Tryton:
    """A server of its own over a copy of the prepared database."""
    folder = _folder(tryton_folder())
    file = File(folder)
    file.load(tryton_folder() / file.path.name)
    return Tryton(tryton_folder(), folder, file, session_seconds)


def over(server: postgres.Postgres, session_seconds: int = 30 * 24 * 3600) -> Tryton:
    """The same over a server of PostgreSQL that runs, is the ERP's alone, and has no company yet."""
    folder = _folder(tryton_dump())
    database = Database(server)
    database.load(tryton_dump() / DUMP)
    return Tryton(tryton_folder(), folder, database, session_seconds)


def _folder(installation: Path) -> Path:
    if not (tryton_folder().is_dir() and installation.is_dir()):
        raise ServerUnavailable("Tryton is not installed: run `make services` (it needs pip)")
    return Path(tempfile.mkdtemp(prefix="bridge-tryton-"))


def install_tryton(into: Path) -> None:
    """The environment, and in it the database of a company that can sell."""
    subprocess.run([sys.executable, "-m", "venv", str(into / "venv")], check=True)
    pip = [str(into / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES]
    subprocess.run(pip, check=True)
    [modules] = (into / "venv").glob("lib/python*/site-packages/trytond/modules")
    shutil.copytree(FILES / "kit", modules / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    with tempfile.TemporaryDirectory() as scratch:
        file = File(Path(scratch))
        file.path.touch()
        _create_company(into, Path(scratch), file)
        file.save(into / file.path.name)


def install_dump(into: Path) -> None:
    """The company in PostgreSQL, written to a file."""
    with postgres.local() as server, tempfile.TemporaryDirectory() as scratch:
        database = Database(server)
        database.create()
        _create_company(tryton_folder(), Path(scratch), database)
        database.save(into / DUMP)


def _create_company(installation: Path, folder: Path, store: TrytonStore) -> None:
    """Make a company in an empty database."""
    _create(installation, folder, store)
    server = Tryton(installation, folder, store, 3600)
    server.start()
    try:
        prepare(TrytonRpc(server.address, DATABASE, USER, PASSWORD))
    finally:
        server.stop()


def _create(installation: Path, folder: Path, store: TrytonStore) -> None:
    """Every module's tables."""
    (folder / "password").write_text(PASSWORD)
    (folder / "admin.conf").write_text(f"[database]\n{store.settings}\n")
    subprocess.run(
        [
            *_program(installation, "admin"),
            *("-c", str(folder / "admin.conf"), "-d", DATABASE, "--email", "admin@example.com"),
            *("-u", "ir", "res", "sale", "kit", "--activate-dependencies"),
        ],
        env={**os.environ, "TRYTONPASSFILE": str(folder / "password")},
        check=True,
        stdin=subprocess.DEVNULL,
    )


def _server(
    installation: Path, port: int, folder: Path, store: TrytonStore, session_seconds: int
) -> Process:
    settings = CONFIGURATION.format(
        store=store.settings, port=port, session_seconds=session_seconds
    )
    (folder / "trytond.conf").write_text(settings)
    return Process(
        [*_program(installation, ""), "-c", str(folder / "trytond.conf"), "-d", DATABASE],
        folder,
        lambda: answers(f"http://127.0.0.1:{port}"),
        env={
            "PYTHONPATH": str(FILES),
            "BRIDGE_TEST_TRYTON_CALLS": str(folder / "calls.log"),
            "TRYTOND_LOGGING_LEVEL": "40",
        },
    )


def _program(installation: Path, name: str) -> list[str]:
    """One of Tryton's programs; its scripts name the folder that they were installed into."""
    module = f"trytond.cli.{name}" if name else "trytond.cli"
    return [str(installation / "venv" / "bin" / "python"), "-m", module]


def answers(address: str) -> bool:
    """Whether a server is there."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{address}/rpc/",
        b'{"id": 0, "method": "common.server.version", "params": []}',
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310
            return True
    except OSError:
        return False


__all__ = [
    "CLERK",
    "OUTSIDER",
    "PASSWORD",
    "Tryton",
    "answers",
    "install_dump",
    "install_tryton",
    "local",
    "over",
]
