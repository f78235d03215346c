"""What happens to the bridge that is recorded, and how it continues: `bridgectl` and SQL, nothing else.

It runs on the commit that makes the recording and on every later one, so it imports no code of the
bridge.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("bridgectl")
TIMEOUT_S = 120.0
FAILING_AGENT = """
from bridge import Agent

agent = Agent("stumbler", attempts=1)


@agent.on("erp.customer", ops={"update"})
async def stumble(event, ctx):
    raise RuntimeError(f"no idea what to do with {event.key['customer_id']}")
"""
WAITING_COMMAND = """
  release_order:
    entity: sales_order
    run: "update vbak set lifsk = '' where vbeln = :key"
"""


class RecordedBridge:
    """A folder that holds bridge.yaml, the log and the ERP's database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "bridge.yaml"
        self.output = folder / "run.log"

    def call(self, *words: str) -> list[dict[str, Any]]:
        """`bridgectl ... --json`: its rows, whatever it ended with."""
        done = self._run(*words, "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def do(self, *words: str) -> None:
        """`bridgectl ...`, which has to end with 0."""
        done = self._run(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        arguments = [str(PROGRAM), "-c", str(self.config), *words]
        return subprocess.run(
            arguments, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )

    def sql(self, *statements: str) -> None:
        """What the ERP's users do, each a transaction."""
        path = self.folder / "var" / "erp.db"
        with contextlib.closing(sqlite3.connect(path, timeout=TIMEOUT_S)) as erp:
            for statement in statements:
                with erp:
                    erp.execute(statement)

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """`bridgectl run`, which is ended in order."""
        with self.output.open("a") as output:
            process = subprocess.Popen(
                [str(PROGRAM), "-c", str(self.config), "run", *words],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            try:
                yield
            finally:
                process.terminate()
                code = process.wait(TIMEOUT_S)
        assert code == 0, self.output.read_text()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until it holds."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: never\n{self.output.read_text()}"
            time.sleep(0.1)

    def wait_for_rows(self, *words: str, count: int = 1) -> None:
        """Until a listing has so many rows."""
        self.until(lambda: len(self.call(*words)) >= count, f"{count} rows of {words}")


def order(number: int, customer: int, cents: int, status: int = 1) -> str:
    """A statement that enters an order."""
    return (
        f"insert into vbak values ('{number:010}', '{customer:010}', '20260131', '101500', "
        f"{cents}, {status}, '', null)"
    )


def block(number: int) -> tuple[str, ...]:
    """A person's command; sent once more with the same words it is the same command."""
    words = ("commands", "send", "block_order", "--key", str(number), "--arg", "reason=by hand")
    return (*words, "--by", "ann", "--idempotency-key", f"block-{number}")


def events(bridge: RecordedBridge, entity: str) -> list[dict[str, Any]]:
    """The change events of an entity that the log holds."""
    return bridge.call("tail", entity, "--no-follow")


def first_life(bridge: RecordedBridge) -> None:
    """Snapshot, changes, a command by an agent and one by a person, one that waits for approval, a row
    that can't be converted, an event whose handler fails; then a change that is still to be captured
    and a snapshot that is still to be taken.
    """
    (bridge.folder / "agents" / "stumbler.py").write_text(FAILING_AGENT)
    system = bridge.folder / "systems" / "erp.yaml"
    system.write_text(system.read_text() + WAITING_COMMAND)
    bridge.do("setup", "erp", "--yes")
    with bridge.running():
        bridge.until(lambda: len(events(bridge, "customer")) >= 40, "the first snapshot")
        bridge.sql(
            order(4711, 1, 1_000),
            order(4712, 1, 999_999_999),
            order(4713, 1, 1_000, status=9),
            order(4714, 2, 2_500),
            "update vbak set gbstk = 2 where vbeln = '0000004711'",
            "update kna1 set skfor = 100 where kunnr = '0000000003'",
            "delete from vbak where vbeln = '0000004714'",
        )
        bridge.wait_for_rows("commands", "--state", "succeeded")
        bridge.wait_for_rows("dead", count=2)
        bridge.do(*block(4711), "--wait", "60")
        waiting = ("commands", "send", "release_order", "--key", "4712", "--by", "ann")
        bridge.do(*waiting, "--idempotency-key", "release-4712")
        bridge.wait_for_rows("commands", "--state", "awaiting_approval")
        # Both commands' effects have come back as changes.
        bridge.until(lambda: len(events(bridge, "sales_order")) >= 7, "the effects")
    bridge.sql(order(4720, 3, 7_000))
    bridge.do("snapshot", "customer", "--where", "customer_id=7", "--no-wait")


def second_life(bridge: RecordedBridge) -> None:
    """How it continues: what was left is done, what was done is not done again.

    One thing after the other, so that positions don't depend on which of two is faster. Nothing is held
    of the system: barriers take numbers of the journal, of which the earlier commit knew nothing.
    """
    system = bridge.folder / "systems" / "erp.yaml"
    system.write_text(system.read_text() + "\ncache: {bytes: 0}\n")
    with bridge.running("--only", "capture"):
        bridge.until(lambda: read_twice(bridge), "the snapshot that was asked for before")
    bridge.sql(
        order(4721, 1, 999_999_999),
        "update kna1 set skfor = 200 where kunnr = '0000000005'",
        "update vbak set gbstk = 3 where vbeln = '0000004713'",
        "delete from vbak where vbeln = '0000004711'",
    )
    with bridge.running():
        # What the ledger has is answered by it; the order is gone by now.
        bridge.do(*block(4711), "--wait", "60")
        bridge.wait_for_rows("commands", "--state", "succeeded", count=3)
        bridge.do(*block(4720), "--wait", "60")
        bridge.wait_for_rows("dead", count=3)
        bridge.until(lambda: effects(bridge) >= 4, "the effects")
        bridge.do("snapshot", "sales_order", "--reconcile")


def effects(bridge: RecordedBridge) -> int:
    """How many changes are known to be commands' effects."""
    return sum(row["caused_by"] is not None for row in events(bridge, "sales_order"))


def read_twice(bridge: RecordedBridge) -> bool:
    """Whether customer 7 was read by the first snapshot and once more."""
    reads = [row for row in events(bridge, "customer") if row["op"] == "read"]
    return [row["key"] for row in reads].count({"customer_id": "7"}) == 2
