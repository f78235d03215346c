"""A folder with the demo's configuration, and `bridgectl` on it, inside of the test and outside."""

import contextlib
import json
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from bridge.cli.app import group
from tests.waiting import WAIT_TIMEOUT_S, wait_until

DEMO = Path(__file__).parents[2] / "examples" / "demo"
PROGRAM = Path(sys.executable).with_name("bridgectl")
FAILING = """
from bridge import Agent

agent = Agent("stumbler", attempts=1)


@agent.on("erp.customer", ops={"update"})
async def stumble(event, ctx):
    raise RuntimeError(f"no idea what to do with {event.key['customer_id']}")
"""


@dataclass(frozen=True)
class CliResult:
    """What a call left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Stdout as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class BridgeFolder:
    """A folder that holds bridge.yaml and all that it names."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "bridge.yaml"

    def call(self, *words: str, stdin: str = "") -> CliResult:
        """`bridgectl` inside of this process."""
        runner = CliRunner(env={"COLUMNS": "200"})
        result = runner.invoke(
            group, ["-c", str(self.config), *words], input=stdin, prog_name="bridgectl"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return CliResult(result.exit_code, result.stdout, result.stderr)

    def start(self, *words: str, **options: Any) -> "subprocess.Popen[str]":
        """`bridgectl` as a process of its own."""
        return subprocess.Popen(
            [str(PROGRAM), "-c", str(self.config), *words],
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def sql(self, *statements: str) -> None:
        """What users of the ERP do, each a transaction."""
        with contextlib.closing(
            sqlite3.connect(self.folder / "var" / "erp.db", timeout=WAIT_TIMEOUT_S)
        ) as erp:
            for statement in statements:
                with erp:
                    erp.execute(statement)

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator["subprocess.Popen[str]"]:
        """`bridgectl run` with these options, ended by SIGTERM."""
        with (self.folder / "run.log").open("w") as log_file:
            bridge = subprocess.Popen(
                [str(PROGRAM), "-c", str(self.config), "run", *words],
                stdout=log_file,
                stderr=log_file,
                text=True,
            )
            try:
                yield bridge
            finally:
                bridge.terminate()
                bridge.wait(timeout=WAIT_TIMEOUT_S)

    def until(self, *words: str, count: int = 1, seconds: float = WAIT_TIMEOUT_S) -> CliResult:
        """The answer of a listing once it has `count` rows."""
        log_path = self.folder / "run.log"

        def full_answer() -> CliResult | None:
            answer = self.call(*words)
            return answer if answer.code == 0 and len(answer.out.splitlines()) >= count else None

        return wait_until(
            full_answer,
            seconds,
            describe=lambda: (
                f"{words}: {self.call(*words)}\n{log_path.read_text() if log_path.exists() else ''}"
            ),
        )


def create_bridge_folder(folder: Path) -> BridgeFolder:
    """The demo's configuration in `folder`, with a legacy system that has customers."""
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("var", "__pycache__"))
    (folder / "var").mkdir()
    create_erp(folder / "legacy" / "erp.py", folder / "var" / "erp.db")
    return BridgeFolder(folder)


def create_erp(program: Path, database: Path) -> None:
    """The tables and customers of the demo's ERP, as `python erp.py URL create` makes them."""
    erp = runpy.run_path(str(program))
    engine = erp["connect"](f"sqlite:///{database}")
    erp["create"](engine)
    engine.dispose()


def order(number: int, customer: int, total: int, status: int = 1) -> str:
    """A statement that enters an order; `total` in cents."""
    return (
        f"insert into vbak values ('{number:010}', '{customer:010}', '20260131', '101500', "
        f"{total}, {status}, '', null)"
    )


def live(bridge_folder: BridgeFolder) -> float:
    """A short life: orders come, one is too large and gets blocked, one row can't be normalised,
    one event's handler fails, one order goes. Returns how long the bridge took to end.
    """
    (bridge_folder.folder / "agents" / "stumbler.py").write_text(FAILING)
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    with bridge_folder.running() as bridge:
        bridge_folder.until("tail", "customer", "--no-follow", "--json", count=40)
        bridge_folder.sql(
            order(4711, 1, 1_000),
            order(4712, 1, 999_999_999),
            order(4713, 1, 1_000, status=9),
            order(4714, 2, 2_500),
            "update vbak set gbstk = 2 where vbeln = '0000004711'",
            "update kna1 set skfor = 100 where kunnr = '0000000003'",
            "delete from vbak where vbeln = '0000004714'",
        )
        bridge_folder.until("commands", "--state", "succeeded", "--json")
        bridge_folder.until("dead", "--json", count=2)
        bridge_folder.until("tail", "sales_order", "--op", "delete", "--no-follow", "--json")
        # The change that the command caused came back, and everybody handled everything.
        bridge_folder.until(
            "tail", "sales_order", "--key", "4712", "--no-follow", "--json", count=2
        )
        begun = time.monotonic()
        bridge.terminate()
        assert bridge.wait(timeout=WAIT_TIMEOUT_S) == 0
        return time.monotonic() - begun
