"""A random load on real services under restarts of both sides: the log ends as the service does.

The bridge is `bridgectl run`, killed by SIGKILL; services are stopped, and killed where they keep
their data. `BRIDGE_LOAD_ROUNDS` (2) and `BRIDGE_LOAD_SEED` make it longer, and other.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import available
from tests.connectors.odata.log_promise import LogFile, check
from tests.connectors.odata.write_load import EntitySetUser, ODataWriteLoad, Row
from tests.services import provide
from tests.services.cap import Cap
from tests.services.odatapy import Odatapy
from tests.waiting import wait_until

ROUNDS = int(os.environ.get("BRIDGE_LOAD_ROUNDS", "2"))
SEED = int(os.environ.get("BRIDGE_LOAD_SEED", "4"))
PROGRAM = Path(sys.executable).with_name("bridgectl")
#: Properties of the two services as entity fields: names only, so that rows compare as they are.
PLAIN = ("order_no", "customer", "qty", "price")
MANAGED = (*PLAIN, "createdAt", "modifiedAt")
FIELDS = {"createdAt": "created_at", "modifiedAt": "modified_at"}


@dataclass(frozen=True)
class LoadScenario:
    """A way to capture, and the service for it."""

    url: str
    table: str
    properties: tuple[str, ...]
    service: Cap | Odatapy
    #: SIGKILL keeps the service's data.
    keeps: bool = False

    def client(self) -> httpx.Client:
        return self.service.client()

    def renamed(self, row: Row) -> Row:
        """A row of the service as the log's record has it."""
        return {FIELDS.get(name, name): row.get(name) for name in self.properties}


class ODataCaptureProcess:
    """`bridgectl run --only capture` over a folder."""

    def __init__(self, folder: Path, scenario: LoadScenario) -> None:
        self._folder = folder
        self.log = LogFile(folder / "bridge.db")
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "systems").mkdir()
        (folder / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///bridge.db\n")
        fields = "".join(
            f"      {FIELDS.get(name, name)}: {name}\n" for name in scenario.properties
        )
        (folder / "systems" / "erp.yaml").write_text(
            f"system: erp\nconnector: odata\nurl: {scenario.url}\n"
            "capture: {poll: 0.1, overlap: 2, reconcile: 1, page: 20}\n"
            f"entities:\n  suite:\n    from: {scenario.table}\n    fields:\n{fields}"
        )

    def start(self) -> None:
        with (self._folder / "run.log").open("ab") as log_file:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", self._folder / "bridge.yaml", "run", "--only", "capture"],
                stdout=log_file,
                stderr=log_file,
            )

    def kill(self) -> None:
        """SIGKILL. Fails where it had ended by itself."""
        process, self._process = self._process, None
        if process is not None:
            code = process.poll()
            process.kill()
            process.wait()
            assert code is None, f"the bridge ended by itself with {code}:\n{self.output()}"

    def moved(self, seconds: float = 120) -> None:
        """Wait until it has written another change since now."""
        before = self.log.progress().get("counter", 0)
        self.until(lambda: self.log.progress().get("counter", 0) > before, seconds)

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        wait_until(condition, seconds, describe=self.output)

    def output(self) -> str:
        return (self._folder / "run.log").read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def kept() -> Iterator[Odatapy]:
    with available():
        service = provide.odatapy(keep=True)
    with service:
        yield service


@pytest.fixture(scope="module")
def own() -> Iterator[Cap]:
    """An ERP that may be stopped, whose pages are small."""
    with available():
        service = provide.private_cap("none", page=30)
    with service:
        yield service


@pytest.mark.slow
@pytest.mark.cap
@pytest.mark.odatapy
@pytest.mark.timeout(240 + 60 * ROUNDS)
class TestLoad:
    """One load for each way to notice changes."""

    def test_delta_links(self, tmp_path: Path, kept: Odatapy) -> None:
        endure(tmp_path, LoadScenario(kept.url, "Suites", PLAIN, kept, keeps=True))

    def test_a_time_of_change(self, tmp_path: Path, own: Cap) -> None:
        endure(tmp_path, LoadScenario(own.url, "Suites", MANAGED, own))

    def test_a_time_of_change_by_v2(self, tmp_path: Path, own: Cap) -> None:
        own.empty()
        endure(tmp_path, LoadScenario(own.v2, "Suites", MANAGED, own))

    def test_comparing(self, tmp_path: Path, own: Cap) -> None:
        endure(tmp_path, LoadScenario(own.url, "Plains", PLAIN, own))


def endure(folder: Path, scenario: LoadScenario) -> None:
    """Load, kills and restarts; then the log is held against the service."""
    dice = random.Random(SEED)  # noqa: S311 - seeded, so that a failure can be repeated
    print(f"seed {SEED}, rounds {ROUNDS}")  # noqa: T201 - shown when it fails
    bridge = ODataCaptureProcess(folder, scenario)
    loads = [
        ODataWriteLoad(scenario.client, scenario.table, SEED + number, 1000 * number)
        for number in (1, 2)
    ]
    with ExitStack() as stack:
        stack.callback(bridge.kill)
        for load in loads:
            load.start()
        bridge.start()
        bridge.until(lambda: "suite" in bridge.log.progress().get("taken", ()))
        for number in range(ROUNDS):
            bridge.moved()
            time.sleep(dice.uniform(0, 0.5))
            if number % 2 == 0:
                bridge.kill()
                time.sleep(dice.uniform(0, 0.5))
                bridge.start()
            else:
                restart(scenario, dice)
        bridge.moved()
        for load in loads:
            load.end()
        judge(bridge, scenario, loads)


def restart(scenario: LoadScenario, dice: random.Random) -> None:
    """The service goes away for a while, in order or not."""
    if scenario.keeps and dice.random() < 0.7:
        scenario.service.kill()
    else:
        scenario.service.stop()
    time.sleep(dice.uniform(0, 0.5))
    scenario.service.start()


def judge(bridge: ODataCaptureProcess, scenario: LoadScenario, loads: list[ODataWriteLoad]) -> None:
    """The log is given time to catch up; then it is held against what was."""
    with scenario.client() as client:
        service_rows = {
            key: scenario.renamed(row)
            for key, row in EntitySetUser(client, scenario.table).rows().items()
        }
    truth = {
        key: [None if state is None else scenario.renamed(state) for state in states]
        for load in loads
        for key, states in load.states.items()
    }
    assert service_rows == {key: states[-1] for key, states in truth.items() if states[-1]}

    try:
        bridge.until(lambda: bridge.log.rows() == service_rows)
    finally:
        check(bridge.log.records_by_key(), truth)
    record_count = sum(len(records) for records in bridge.log.records_by_key().values())
    done = sum(load.done for load in loads)
    print(f"{done} writes, {record_count} records of {len(truth)} keys")  # noqa: T201 - as above
