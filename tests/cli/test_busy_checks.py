"""`check` and `status` beside a bridge at work: whatever moves on while they look, nobody is told that
something is wrong. `make busy-checks N=100` looks so often.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cli.bridge_folder import BridgeFolder, create_bridge_folder, order
from tests.cli.test_copy import move
from tests.waiting import WAIT_TIMEOUT_S, wait_until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

CHECKS = int(os.environ.get("BRIDGE_BUSY_CHECKS", "3"))


@contextlib.contextmanager
def writing(write: Callable[[int], None]) -> Iterator[None]:
    """One transaction after the other in a thread, numbered, for as long as the block."""
    stop, failures = threading.Event(), list[BaseException]()

    def work() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                write(number)
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failures


def findings(bridge_folder: BridgeFolder) -> set[str]:
    """What of a check isn't ok."""
    return {
        row["message"]
        for row in bridge_folder.call("check", "--json").rows
        if row["severity"] != "ok"
    }


def look(bridge_folder: BridgeFolder, expected: set[str]) -> None:
    """As often as is asked for; each time the capture has come further in between."""
    seen = 0
    for _ in range(CHECKS):
        assert findings(bridge_folder) == expected
        seen = wait_until(partial(more_changes, bridge_folder, seen))


def more_changes(bridge_folder: BridgeFolder, seen: int) -> int | None:
    """How many changes were captured, once there are more than `seen`."""
    answer = bridge_folder.call("status", "--json")
    assert answer.code == 0, answer
    [system] = [row for row in answer.rows if row["kind"] == "system"]
    count: int = system.get("changes", 0)
    return count if count > seen else None


def test_postgres(tmp_path: Path, database: str) -> None:
    (tmp_path / "systems").mkdir()
    (tmp_path / "bridge.yaml").write_text("bridge: shop\nlog: sqlite:///bridge.db\n")
    (tmp_path / "systems" / "shop.yaml").write_text(
        "system: shop\nconnector: postgres\nurl: ${env:SHOP_URL}\n"
        "entities:\n  article:\n    from: article\n"
    )
    bridge_folder = BridgeFolder(tmp_path)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SHOP_URL", database)
        with psycopg.connect(database, autocommit=True) as shop:
            shop.execute("create table article (id serial primary key, name text)")
            assert bridge_folder.call("setup", "shop", "--yes").code == 0
            expected = findings(bridge_folder)

            def write(number: int) -> None:
                shop.execute("insert into article (name) values (%s)", [f"cup {number}"])

            with bridge_folder.running():
                bridge_folder.until("tail", "_shop.positions", "--raw", "--no-follow", "--json")
                with writing(write):
                    look(bridge_folder, expected)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("log", ["embedded", "kafka"])
def test_a_journal(tmp_path: Path, log: str, request: pytest.FixtureRequest) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    if log == "kafka":
        broker: Kafka = request.getfixturevalue("kafka")
        text = bridge_folder.config.read_text()
        bridge_folder.config.write_text(text.replace("bridge: demo", "bridge: busychecks"))
        move(bridge_folder, f"kafka://{broker.bootstrap}")
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    expected = findings(bridge_folder)
    erp: Any = sqlite3.connect(
        bridge_folder.folder / "var" / "erp.db", timeout=WAIT_TIMEOUT_S, check_same_thread=False
    )

    def write(number: int) -> None:
        with erp:
            erp.execute(order(10_000 + number, 1 + number % 3, 1_000))

    with bridge_folder.running():
        bridge_folder.until("tail", "customer", "--no-follow", "--json", count=40)
        with writing(write):
            look(bridge_folder, expected)
    erp.close()
