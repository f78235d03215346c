"""Where a torture happens: a legacy database under load, a log, and the bridge's configuration."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from copy import copy
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from bridge.capture import control
from bridge.config import load
from bridge.wiring import open_bridge
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.torture import log_reader, truth
from tests.torture.compare import Happened, compare
from tests.torture.load import TABLE, Loader
from tests.waiting import WAIT_TIMEOUT_S, wait_until

PASSWORD = "TORTURE_PASSWORD"
ENTITY = """\
entities:
  items:
    from: items
"""


class ObservedLog(ABC):
    """A log as the bridge's configuration names it, and as the oracle reads it."""

    setting: str

    @abstractmethod
    def records(self, topic: str) -> list[log_reader.RawRecord]: ...


class ObservedFile(ObservedLog):
    """The embedded log in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "bridge.db"
        self.setting = f"sqlite:///{self._path}"

    def records(self, topic: str) -> list[log_reader.RawRecord]:
        return log_reader.embedded(self._path, topic)


class ObservedBroker(ObservedLog):
    """A Kafka broker with the embedded registry in it."""

    def __init__(self, kafka: Kafka) -> None:
        self._servers = kafka.bootstrap
        self.setting = f"kafka://{kafka.bootstrap}"

    def records(self, topic: str) -> list[log_reader.RawRecord]:
        return log_reader.kafka(self._servers, topic)


class CrashTarget(ABC):
    """The legacy database `erp` with one table, and everything around it, in a folder."""

    def __init__(self, folder: Path, log: ObservedLog, bridge: str) -> None:
        self.folder = folder
        self.log = log
        self.bridge = bridge
        self.loaders: list[Loader] = []
        (folder / "systems").mkdir()
        self.describe()
        (folder / "systems" / "erp.yaml").write_text(self._system() + ENTITY)
        self._make()
        asyncio.run(self._set_up())

    def describe(self) -> None:
        """Write the bridge's file."""
        text = f"bridge: {self.bridge}\nlog: {self.log.setting}\n"
        (self.folder / "bridge.yaml").write_text(text)

    @abstractmethod
    def _system(self) -> str:
        """The head of the system's file."""

    @abstractmethod
    def _make(self) -> None:
        """The table and the oracle."""

    @abstractmethod
    def load(self, seed: int, pause: float) -> None:
        """Start the load."""

    @abstractmethod
    def happened(self) -> list[Happened]:
        """The oracle's word, once the load has ended."""

    async def _set_up(self) -> None:
        async with open_bridge(load(self.folder / "bridge.yaml")) as bridge:
            connector, system = bridge.system("erp")
            await connector.setup(system)

    def ask_for_snapshot(self, *, reconcile: bool = False) -> None:
        """Ask the running capture for a snapshot of the table."""

        async def ask() -> None:
            async with open_bridge(load(self.folder / "bridge.yaml")) as bridge:
                request = control.request("erp", "snapshot", "items", reconcile=reconcile)
                await control.send(bridge.log, self.bridge, request)

        asyncio.run(ask())

    @abstractmethod
    def fill(self) -> None:
        """Rows that the load leaves alone, so that a snapshot has several chunks."""

    def end_load(self) -> None:
        loaders, self.loaders = self.loaders, []
        for loader in loaders:
            loader.end()

    def verdict(self, seconds: float = 2 * WAIT_TIMEOUT_S) -> int:
        """Wait until the log has everything, then hold it against the oracle; the changes."""
        happened = self.happened()
        wait_until(
            lambda: self._counted() >= len(happened) and not self.jobs(),
            seconds,
            describe=lambda: (
                f"the log has {self._counted()} of {len(happened)} changes, and {self.jobs()}"
                " snapshots to take"
            ),
        )
        compare(happened, self.logged_changes())
        return len(happened)

    def _counted(self) -> int:
        """How many changes the log tells, by their headers: it is asked again and again."""
        return sum(
            value is not None and not headers["ce_type"].endswith(b".read")
            for _, _, _, value, headers in self.log.records(f"{self.bridge}.erp.items")
        )

    def logged_changes(self) -> list[log_reader.LoggedChange]:
        """What the log holds of the table."""
        schemas = log_reader.schemas_of(self.log.records(f"_{self.bridge}.schemas"))
        return log_reader.decoded(self.log.records(f"{self.bridge}.erp.items"), schemas)

    def progress(self) -> dict[str, Any]:
        """The checkpoint record; empty where there is none."""
        records = self.log.records(f"_{self.bridge}.positions")
        log_reader: dict[str, Any] = json.loads(records[-1][3] or b"{}") if records else {}
        return log_reader

    def started(self) -> bool:
        """Whether the source was opened and first snapshots are complete."""
        return "items" in self.progress().get("taken", ())

    def jobs(self) -> int:
        """How many snapshots are still to be taken."""
        return len(self.progress()["jobs"])


class SqliteTarget(CrashTarget):
    """The journal connector over SQLite; the oracle's triggers are the test's own."""

    def copied(self, folder: Path) -> SqliteTarget:
        """The same in another folder, while nobody uses it. Its log is the embedded one."""
        shutil.copytree(self.folder, folder)
        twin = copy(self)
        twin.folder, twin.log, twin.loaders = folder, ObservedFile(folder), []
        twin.describe()
        return twin

    def _system(self) -> str:
        return "system: erp\nconnector: journal\nurl: sqlite:///../erp.db\n"

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.folder / "erp.db",
            isolation_level=None,
            timeout=WAIT_TIMEOUT_S,
            check_same_thread=False,
        )

    def _make(self) -> None:
        db = self._connect()
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(TABLE)
        db.executescript(truth.HISTORY)
        db.close()

    def load(self, seed: int, pause: float) -> None:
        self.loaders = [Loader(_File(self._connect()), seed, 1, 300, pause)]
        self.loaders[0].start()

    def fill(self) -> None:
        db = self._connect()
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) "
            "INSERT INTO items SELECT 100000 + i, 'still', i, NULL FROM n"
        )
        db.close()

    def happened(self) -> list[Happened]:
        return truth.of_sqlite(self.folder / "erp.db")


class PostgresTarget(CrashTarget):
    """The PostgreSQL connector; the oracle is a second slot with test_decoding."""

    def __init__(
        self, folder: Path, log: ObservedLog, bridge: str, server: Postgres, url: str
    ) -> None:
        self.server = server
        self.url = url
        super().__init__(folder, log, bridge)

    @property
    def _oracle(self) -> str:
        return f"oracle_{self.bridge}"

    def _system(self) -> str:
        url = make_url(self.url)
        os.environ[PASSWORD] = str(url.password or "")
        url_text = url.set(password="SECRET").render_as_string(hide_password=False)
        url_text = url_text.replace("SECRET", f"${{env:{PASSWORD}}}")
        return (
            f"system: erp\nconnector: postgres\nurl: {url_text}\n"
            f"capture: {{slot: bridge_{self.bridge}, slot_wait: 10}}\n"
        )

    def _make(self) -> None:
        self.server.execute(TABLE, url=self.url)
        self.server.execute(
            f"SELECT pg_create_logical_replication_slot('{self._oracle}', 'test_decoding')",
            url=self.url,
        )

    def load(self, seed: int, pause: float) -> None:
        self.loaders = [
            Loader(_Sessions(self.url), seed + number, 1 + number * 1000, 150, pause)
            for number in range(2)
        ]
        for loader in self.loaders:
            loader.start()

    def fill(self) -> None:
        self.server.execute(
            "INSERT INTO items SELECT 100000 + i, 'still', i, NULL FROM generate_series(1, 6000) i",
            url=self.url,
        )

    def happened(self) -> list[Happened]:
        ((upto,),) = self.server.execute(
            "SELECT pg_logical_emit_message(true, 'oracle', 'end')::text", url=self.url
        )
        plain = make_url(self.url).render_as_string(hide_password=False)
        log_reader = truth.of_postgres(
            self.server.bindir / "pg_recvlogical", plain, self._oracle, upto
        )
        self.server.execute(f"SELECT pg_drop_replication_slot('{self._oracle}')", url=self.url)
        return log_reader


class _File:
    """Carries transactions out in a SQLite file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute("PRAGMA synchronous = OFF")

    def run(self, statements: list[str], commit: bool) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            self._db.execute(statement)
        self._db.execute("COMMIT" if commit else "ROLLBACK")

    def close(self) -> None:
        self._db.close()


class _Sessions:
    """Carries transactions out over a session that is opened again when it breaks.

    Whether a commit that broke happened is the oracle's to know.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: psycopg.Connection | None = None

    def run(self, statements: list[str], commit: bool) -> None:
        try:
            if self._session is None:
                self._session = psycopg.connect(self._url, connect_timeout=30)
            for statement in statements:
                self._session.execute(statement)
            if commit:
                self._session.commit()
            else:
                self._session.rollback()
        except psycopg.OperationalError:
            self.close()
            time.sleep(0.1)

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
