"""A system's reads in a process of their own: started, asked, seen in `status`, succeeded."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from tests.cli.bridge_folder import BridgeFolder, create_bridge_folder, live
from tests.waiting import WAIT_TIMEOUT_S, wait_until

pytestmark = pytest.mark.usefixtures("processes")


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder with a short path: those of tests may be longer than a socket's can be."""
    with TemporaryDirectory(prefix="gw") as folder:
        yield Path(folder)


def with_gateway(bridge_folder: BridgeFolder, system: str, section: str) -> None:
    file = bridge_folder.folder / "systems" / f"{system}.yaml"
    file.write_text(f"{file.read_text()}\ngateway: {{{section}}}\n")


@contextmanager
def gateway(bridge_folder: BridgeFolder, name: str) -> Iterator[subprocess.Popen[str]]:
    with (bridge_folder.folder / name).open("w") as output:
        process = bridge_folder.start("run", "--only", "gateway", stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(timeout=WAIT_TIMEOUT_S)


def owners(bridge_folder: BridgeFolder) -> list[dict[str, Any]]:
    """What gateways' processes report."""
    rows = bridge_folder.call("status", "--json").rows
    return [row for row in rows if row["kind"] == "gateway" and row["section"] == "owner"]


def in_role(bridge_folder: BridgeFolder, role: str) -> Callable[[], dict[str, Any] | None]:
    def find() -> dict[str, Any] | None:
        rows = owners(bridge_folder)
        return next((row for row in rows if row["facts"].get("role") == role), None)

    return find


def test_get_asks_the_owner_and_says_where_when_there_is_none(
    tmp_path: Path, sockets: Path
) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    socket = sockets / "erp.sock"
    with_gateway(bridge_folder, "erp", f"socket: {socket}, lease: 2s")
    answer = bridge_folder.call("get", "customer", "1")
    assert answer.code == 1
    assert str(socket) in answer.err
    assert "bridgectl run --only gateway" in answer.err
    with gateway(bridge_folder, "gateway.log") as process:
        log = bridge_folder.folder / "gateway.log"
        wait_until(lambda: "reads owned" in log.read_text(), describe=log.read_text)
        answer = bridge_folder.call("get", "customer", "1", "2", "--json")
        assert answer.code == 0, answer.err
        assert [row["customer_id"] for row in answer.rows] == ["1", "2"]
        owner = wait_until(in_role(bridge_folder, "owner"), describe=log.read_text)
        assert owner["system"] == "erp"
        assert owner["facts"]["generation"] == 1
        assert "generation 1" in owner["summary"]
        process.terminate()
        assert process.wait(timeout=WAIT_TIMEOUT_S) == 0
    assert not socket.exists()
    with gateway(bridge_folder, "again.log"):
        # Nobody has to wait for one that ended in order.
        wait_until(lambda: bridge_folder.call("get", "customer", "1").code == 0)
        owner = wait_until(in_role(bridge_folder, "owner"))
        assert owner["facts"]["generation"] == 2


def test_a_bridge_in_one_process_works_over_its_own_gateway(tmp_path: Path, sockets: Path) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    with_gateway(bridge_folder, "erp", f"socket: {sockets / 'erp.sock'}")
    live(bridge_folder)


def test_only_a_gateway_without_any_is_refused(tmp_path: Path) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    answer = bridge_folder.call("run", "--only", "gateway")
    assert answer.code == 2
    assert "gateway: {}" in answer.err


def configured(folder: Path, url: str, socket: Path, connections: int) -> BridgeFolder:
    (folder / "systems").mkdir()
    (folder / "bridge.yaml").write_text("bridge: shop\nlog: sqlite:///bridge.db\n")
    (folder / "systems" / "shop.yaml").write_text(
        f"system: shop\nconnector: postgres\nurl: {url}\n"
        f"limits: {{connections: {connections}}}\n"
        f"gateway: {{socket: {socket}, lease: 2s}}\n"
        "entities:\n  article:\n    from: article\n    key: id\n"
    )
    return BridgeFolder(folder)


class SessionCount:
    """The sessions of reads and of successions that the server has, counted again and again."""

    QUERY = (
        "SELECT count(*), count(*) FILTER (WHERE application_name LIKE '% reads #%') "
        "FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name ~ 'legacy-bridge shop shop (reads|succession)'"
    )

    def __init__(self, url: str) -> None:
        self.most = 0
        self.most_reads = 0
        self.samples = 0
        self._url = url
        self._ended = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._ended.is_set():
                row = connection.execute(self.QUERY).fetchone()
                assert row is not None
                self.most, self.most_reads = max(self.most, row[0]), max(self.most_reads, row[1])
                self.samples += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


LOAD = """
import asyncio, sys
from bridge.connector import Ask
from bridge.gateway.remote.address import GatewayAddress
from bridge.gateway.remote.messages import Registration
from bridge.gateway.remote.remote_reader import RemoteReader
from bridge.model.errors import RetryLater


async def ask(reader, number):
    while True:
        try:
            rows = await reader.fetch(Ask("article", ("id",), [(number % 10,)], deadline=None))
            assert len(rows.rows) == 1
            print("answered", flush=True)
        except RetryLater:
            await asyncio.sleep(0.05)


async def main():
    address = GatewayAddress(path=sys.argv[1])
    reader = RemoteReader(Registration("shop", "shop", "", "load"), address)
    await asyncio.gather(*(ask(reader, number) for number in range(20)))


asyncio.run(main())
"""


@contextmanager
def load(bridge_folder: BridgeFolder, socket: Path, name: str) -> Iterator[Path]:
    """A client that asks for far more than is allowed; its file has a line for each answer."""
    answers = bridge_folder.folder / name
    with answers.open("w") as output:
        client = subprocess.Popen(
            [sys.executable, "-c", LOAD, str(socket)], stdout=output, stderr=output, text=True
        )
        try:
            yield answers
        finally:
            client.kill()
            client.wait()


def freeze(process: subprocess.Popen[str], log: Path) -> None:
    """Stop it while it doesn't write: a process that is frozen within a write keeps all others from
    the embedded log, which no lease can change.
    """

    def is_frozen_outside_of_a_write() -> bool:
        os.kill(process.pid, signal.SIGSTOP)
        with closing(sqlite3.connect(log, timeout=0.5, isolation_level=None)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(process.pid, signal.SIGCONT)
                return False
            database.execute("ROLLBACK")
        return True

    wait_until(is_frozen_outside_of_a_write)


@pytest.mark.slow
def test_a_frozen_owner_is_succeeded_and_woken_within_the_ceiling(
    tmp_path: Path, sockets: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", database)
    connections = 3
    socket = sockets / "shop.sock"
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("create table article (id int primary key, name text)")
        shop.execute("insert into article select n, 'cup' from generate_series(0, 9) n")
    bridge_folder = configured(tmp_path, "${env:SHOP_URL}", socket, connections)
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    count = SessionCount(database)

    def text() -> str:
        return "\n".join(log.read_text() for log in logs if log.exists())

    with ExitStack() as stack:
        stack.enter_context(count.counting())
        first = stack.enter_context(gateway(bridge_folder, "0.log"))
        wait_until(lambda: "reads owned" in logs[0].read_text(), describe=text)
        answers = stack.enter_context(load(bridge_folder, socket, "answers"))
        wait_until(lambda: answers.read_text().count("answered") > 50, describe=answers.read_text)
        second = stack.enter_context(gateway(bridge_folder, "1.log"))
        wait_until(in_role(bridge_folder, "standby"), describe=text)
        freeze(first, tmp_path / "bridge.db")
        wait_until(lambda: "reads owned" in logs[1].read_text(), describe=text)
        before = answers.read_text().count("answered")
        # Clients find the new owner once the old one is silent for long enough.
        wait_until(
            lambda: answers.read_text().count("answered") > before + 50, describe=answers.read_text
        )
        os.kill(first.pid, signal.SIGCONT)
        wait_until(
            lambda: (
                "another process has taken over" in logs[0].read_text()
                or "no longer owns" in logs[0].read_text()
                or "may no longer own" in logs[0].read_text()
            ),
            describe=text,
        )
        wait_until(in_role(bridge_folder, "standby"), describe=text)
        before = answers.read_text().count("answered")
        wait_until(
            lambda: answers.read_text().count("answered") > before + 50, describe=answers.read_text
        )
        assert first.poll() is None
        # It is the next one, in order.
        second.terminate()
        assert second.wait(timeout=WAIT_TIMEOUT_S) == 0
        wait_until(lambda: logs[0].read_text().count("reads owned") == 2, describe=text)
        before = answers.read_text().count("answered")
        wait_until(
            lambda: answers.read_text().count("answered") > before + 50, describe=answers.read_text
        )
    assert count.samples > 100
    assert count.most_reads == connections
    # One short connection ends the sessions of the owner before.
    assert count.most <= connections + 1
