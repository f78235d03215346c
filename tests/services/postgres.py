"""PostgreSQL with logical replication."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Literal, cast

import psycopg
from sqlalchemy.engine import make_url

from tests.services.container import Container
from tests.services.data_folder import new_data_folder
from tests.services.errors import ServerUnavailable
from tests.services.ports import free_ports
from tests.services.process import Process
from tests.services.server import Elsewhere, ManagedService, ServerProcess
from tests.waiting import wait_until

IMAGE = "postgres:17"
SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "100",
    "max_wal_senders": "100",
    "max_connections": "300",
    "max_prepared_transactions": "20",
    "timezone": "UTC",
    # Tests kill processes, never the kernel: what the server wrote stays in the page cache.
    "fsync": "off",
    "full_page_writes": "off",
}
# The superuser is trusted, because connecting with SCRAM costs milliseconds; other roles need
# their password, so that tests can give a wrong one.
ACCESS = """\
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""
SIGNALS = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
    "kill": signal.SIGKILL,
}
HELD = "pre-existing shared memory block"
Mode = Literal["smart", "fast", "immediate", "kill"]


class Postgres(ManagedService):
    """A server. `url` is the superuser's, to the database `postgres`."""

    def __init__(self, url: str, server: ServerProcess) -> None:
        super().__init__(server)
        self.url = url
        self.host = make_url(url).host or "127.0.0.1"
        self.port = make_url(url).port or 5432
        self._numbers = count(1)

    @property
    def bindir(self) -> Path:
        """Where `pg_recvlogical` and its like stand."""
        return bindir()

    def start(self) -> None:
        """As `Service.start`. Sessions of a server that was killed hold its memory until they notice."""
        until = time.monotonic() + 60
        while True:
            try:
                super().start()
            except RuntimeError as error:
                if HELD not in str(error) or time.monotonic() > until:
                    raise
                self._server.end(signal.SIGKILL)
                time.sleep(0.05)
            else:
                return

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server; `kill` is SIGKILL to the postmaster. The data stays."""
        self._server.end(SIGNALS[mode])

    def restart(self, mode: Mode = "fast") -> None:
        """Stop and start over the same data and port."""
        self.stop(mode)
        self.start()

    def url_of(self, database: str, user: str = "postgres", password: str = "") -> str:
        """The URL of another database or role of this server."""
        url = make_url(self.url).set(database=database)
        if user != "postgres":
            url = url.set(username=user, password=password)
        return url.render_as_string(hide_password=False)

    def execute(
        self, statement: str, params: object = None, *, url: str | None = None
    ) -> list[Any]:
        """Run a statement as the superuser, outside of a transaction, and return its rows.

        It never waits for a synchronous standby.
        """
        with psycopg.connect(
            url or self.url, autocommit=True, options="-c synchronous_commit=local"
        ) as connection:
            result = connection.execute(statement, cast("Any", params))
            return result.fetchall() if result.description else []

    def new_database(self) -> str:
        """Make an empty database and return the superuser's URL to it."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def drop_database(self, url: str) -> None:
        """Drop a database with all that hangs on it: sessions and replication slots."""
        name = make_url(url).database
        self.execute(
            "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots"
            " WHERE database = %s AND active",
            [name],
        )
        self.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE database = %s",
            [name],
        )
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def elsewhere(url: str) -> Postgres:
    """The server at an address; its URL names a superuser."""
    return Postgres(url, Elsewhere(url))


def in_container(settings: Mapping[str, str] | None = None) -> Postgres:
    """A server of its own in a container."""
    [port] = free_ports(1)
    url = f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres"
    flags = _flags({**SETTINGS, "port": str(port), **(settings or {})})
    container = Container(
        IMAGE,
        [port],
        lambda: answers(url),
        env={"POSTGRES_PASSWORD": "postgres"},
        command=["postgres", *flags],
    )
    return Postgres(url, container)


def local(settings: Mapping[str, str] | None = None) -> Postgres:
    """A server of its own as a local program, over a fresh data folder."""
    programs = bindir()
    folder = new_data_folder("postgres")
    data = folder / "data"
    become = _other_user(folder)
    subprocess.run(
        [
            *become,
            str(programs / "initdb"),
            *("--pgdata", str(data), "--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        ],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    (data / "pg_hba.conf").write_text(ACCESS)
    return _serving(folder, become, settings or {})


def standby_of(
    primary: Postgres, name: str = "standby", settings: Mapping[str, str] | None = None
) -> Postgres:
    """A streaming standby of a local server, copied from it now, as a local program; to be entered.
    Its `application_name` at the primary and its replication slot are `name`.
    """
    folder = new_data_folder("standby")
    become = _other_user(folder)
    source = f"host={primary.host} port={primary.port} user=postgres application_name={name}"
    subprocess.run(
        [
            *become,
            str(bindir() / "pg_basebackup"),
            *("--dbname", source, "--pgdata", str(folder / "data"), "--checkpoint=fast"),
            *("--write-recovery-conf", "--create-slot", "--slot", name, "--no-sync"),
        ],
        check=True,
        cwd=folder,
    )
    # It connects again at once where its primary was away, or was none yet.
    return _serving(folder, become, {"wal_retrieve_retry_interval": "50ms", **(settings or {})})


def replayed(standby: Postgres, primary: Postgres) -> None:
    """Wait until the standby shows what the primary has committed by now."""
    [(end,)] = primary.execute("SELECT pg_current_wal_flush_lsn()::text")
    wait_until(
        lambda: standby.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [end])[0][0]
    )


def _serving(folder: Path, become: list[str], settings: Mapping[str, str]) -> Postgres:
    """A server over the data in a folder, on a port of its own."""
    [port] = free_ports(1)
    url = f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres"
    flags = _flags(
        {
            **SETTINGS,
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            **settings,
        }
    )
    process = Process(
        [*become, str(bindir() / "postgres"), "-D", str(folder / "data"), *flags],
        folder,
        lambda: answers(url),
    )
    return Postgres(url, process)


def answers(url: str) -> bool:
    """Whether a server accepts sessions at this URL."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def bindir() -> Path:
    """The newest installed server's programs."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3])
    )
    if debian:
        return debian[-1].parent
    program = shutil.which("postgres")
    if program is None:
        raise ServerUnavailable(
            "PostgreSQL is not installed: run `make services`, or `apt-get install postgresql`, "
            "or start Docker, or set BRIDGE_TEST_POSTGRES to a superuser's URL"
        )
    return Path(program).resolve().parent


def _flags(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _other_user(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: the prefix that makes it run as `postgres`."""
    if os.getuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
