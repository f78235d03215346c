"""A random load on a real ERP under restarts of both sides: the log ends as the ERP's database does.

The bridge is `bridgectl run`, killed by SIGKILL; the ERP is stopped, and killed, and its database
where that is a server. There transactions overlap, some last for seconds, and each state that is told
was one. `BRIDGE_LOAD_ROUNDS` (3) and `BRIDGE_LOAD_SEED` make it longer, and other.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.tryton.kit_system import capturer
from tests.connectors.tryton.load import (
    COLUMNS,
    ErpWorker,
    Import,
    Row,
    SalesLoad,
    plain,
    remember,
    remembered,
    rows,
)
from tests.services.tryton import PASSWORD, Tryton
from tests.services.tryton_store import Database
from tests.torture import log_reader as reading
from tests.torture.log_reader import LoggedChange
from tests.waiting import wait_until

ROUNDS = int(os.environ.get("BRIDGE_LOAD_ROUNDS", "3"))
SEED = int(os.environ.get("BRIDGE_LOAD_SEED", "4"))
BRIDGECTL = Path(sys.executable).with_name("bridgectl")
ENTITIES = {"party": "party.party", "sale": "sale.sale", "line": "sale.line"}


class TrytonCaptureProcess:
    """`bridgectl run --only capture` over a folder."""

    def __init__(self, folder: Path, erp: Tryton, user: str, overlap: int) -> None:
        self._folder = folder
        self._log = folder / "bridge.db"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "systems").mkdir()
        (folder / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///bridge.db\n")
        lines = [
            "system: erp",
            "connector: tryton",
            f"url: {erp.address}/erp",
            f'login: {{user: {user}, password: "${{env:ERP_PASSWORD}}"}}',
            f"capture: {{poll: 0.2, overlap: {overlap}, overlap_interval: 2,",
            "  reconcile: 12, page: 20}",
            "entities:",
        ]
        for entity, model in ENTITIES.items():
            fields = ", ".join(f"{name}: {name}" for name in COLUMNS[model])
            lines += [f"  {entity}:", f"    from: {model}", f"    fields: {{{fields}}}"]
        (folder / "systems" / "erp.yaml").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        with (self._folder / "run.log").open("ab") as output:
            self._process = subprocess.Popen(
                [BRIDGECTL, "-c", self._folder / "bridge.yaml", "run", "--only", "capture"],
                stdout=output,
                stderr=output,
                env={**os.environ, "ERP_PASSWORD": PASSWORD},
            )

    def kill(self) -> None:
        """SIGKILL. Fails where it had ended by itself."""
        process, self._process = self._process, None
        if process is not None:
            code = process.poll()
            process.kill()
            process.wait()
            assert code is None, f"the bridge ended by itself with {code}:\n{self.output()}"

    def progress(self) -> dict[str, Any]:
        """The newest checkpoint record; empty where there is none."""
        try:
            records = reading.embedded(self._log, "_acme.positions")
        except sqlite3.OperationalError:
            return {}  # it is being made
        positions: dict[str, Any] = json.loads(records[-1][3] or b"{}") if records else {}
        return positions

    def moved(self, seconds: float = 120) -> None:
        """Wait until it has written another change since now."""
        before = self.progress().get("counter", 0)
        self.until(lambda: self.progress().get("counter", 0) > before, seconds)

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        wait_until(condition, seconds, describe=self.output)

    def output(self) -> str:
        return (self._folder / "run.log").read_text(errors="replace")[-3000:]

    def records(self, entity: str) -> dict[int, list[LoggedChange]]:
        """Every record of an entity, by key, in order."""
        schemas = reading.schemas_of(reading.embedded(self._log, "_acme.schemas"))
        by_key: dict[int, list[LoggedChange]] = {}
        records = reading.embedded(self._log, f"acme.erp.{entity}")
        for record in reading.decoded(records, schemas):
            by_key.setdefault(record.key["id"], []).append(record)
        return by_key

    def rows(self, entity: str) -> dict[int, Row]:
        """The last state of each key that is there."""
        last = {key: records[-1].change for key, records in self.records(entity).items()}
        return {
            key: plain(change["after"])
            for key, change in last.items()
            if change and change["after"]
        }


@pytest.mark.slow
@pytest.mark.timeout(240 + 60 * ROUNDS)
def test_the_log_ends_as_the_erp_does_under_kills_of_both(
    tmp_path: Path, private_tryton: Callable[..., Tryton]
) -> None:
    erp = private_tryton(on="sqlite")
    loads = [SalesLoad(erp, SEED + number) for number in (1, 2)]
    bridge = TrytonCaptureProcess(tmp_path, erp, capturer(erp), overlap=20)
    work_under_kills(bridge, erp, loads, [erp.kill, erp.stop])


@pytest.mark.slow
@pytest.mark.timeout(240 + 60 * ROUNDS)
def test_so_it_does_where_transactions_overlap_and_whatever_it_tells_was_true(
    tmp_path: Path, private_tryton: Callable[..., Tryton]
) -> None:
    erp = private_tryton(on="postgres")
    remember(erp)
    loads = [SalesLoad(erp, SEED + number) for number in (1, 2)]
    imports = [Import(erp, SEED + number) for number in (3, 4)]
    # Imports wait for each other's rows, and a busy machine for its processors.
    bridge = TrytonCaptureProcess(tmp_path, erp, capturer(erp), overlap=90)
    assert isinstance(erp.store, Database)
    server = erp.store.server
    work_under_kills(
        bridge,
        erp,
        [*loads, *imports],
        [server.kill, erp.kill, server.stop, erp.stop],
        server.start,
        rounds=ROUNDS - 1,
    )
    for entity, model in ENTITIES.items():
        check_every_state_existed(bridge, entity, remembered(erp, model))


def work_under_kills(
    bridge: TrytonCaptureProcess,
    erp: Tryton,
    loads: Sequence[ErpWorker],
    ends: Sequence[Callable[[], None]],
    first: Callable[[], None] = lambda: None,
    *,
    rounds: int = ROUNDS,
) -> None:
    """Kill the bridge and the ERP in turns while they work; `ends` are ways to end the ERP, `first`
    is to be started before it.
    """
    dice = random.Random(SEED)  # noqa: S311 - seeded, so that a failure can be repeated
    print(f"seed {SEED}, rounds {rounds}")  # noqa: T201 - shown when it fails
    with ExitStack() as stack:
        stack.callback(bridge.kill)
        for load in loads:
            load.start()
        bridge.start()
        bridge.until(lambda: set(ENTITIES) <= set(bridge.progress().get("taken", ())))
        for number in range(rounds):
            bridge.moved()
            time.sleep(dice.uniform(0, 1.5))
            if number % 2 == 0:
                bridge.kill()
                time.sleep(dice.uniform(0, 1))
                bridge.start()
            else:
                ends[number // 2 % len(ends)]()
                time.sleep(dice.uniform(0, 0.5))
                first()
                erp.start()
        bridge.moved()
        for load in loads:
            load.end()
        for entity, model in ENTITIES.items():
            check_equal(bridge, entity, rows(erp, model))
    done, lost = sum(load.done for load in loads), sum(load.lost for load in loads)
    print(f"{done} acts, {lost} without an answer")  # noqa: T201 - as above
    assert done > 10 * rounds, "the load did next to nothing"
    assert all(load.done for load in loads)


def check_equal(bridge: TrytonCaptureProcess, entity: str, erp_rows: dict[int, Row]) -> None:
    """Give the log time to catch up, then hold it against the ERP's rows."""
    assert erp_rows
    with suppress(AssertionError):  # what differs is said below
        wait_until(lambda: bridge.rows(entity) == erp_rows, seconds=120)
    log_rows = bridge.rows(entity)
    missing = {key: row for key, row in erp_rows.items() if log_rows.get(key) != row}
    left_over = sorted(set(log_rows) - set(erp_rows))
    assert not missing, f"{entity}: the log has {[log_rows.get(key) for key in missing]}: {missing}"
    assert not left_over, f"{entity}: {left_over} are gone, and the log still has them"
    for key, records in bridge.records(entity).items():
        positions = [record.change["position"] for record in records if record.change]
        assert positions == sorted(set(positions)), f"{entity} {key}: positions go back"
        assert all(record.change["before"] is None for record in records if record.change)
        deletes = [
            index
            for index, record in enumerate(records)
            if record.change and record.change["op"] == "delete"
        ]
        ops = [record.change["op"] for record in records if record.change]
        lives = " ".join(ops).split("delete")
        # A snapshot may have read a row before it is told.
        assert all(life.count("create") <= 1 for life in lives), f"{entity} {key}: {ops}"
        tombstones = [index for index, record in enumerate(records) if record.change is None]
        assert tombstones == [index + 1 for index in deletes], (
            f"{entity} {key}: a delete has its tombstone"
        )


def check_every_state_existed(
    bridge: TrytonCaptureProcess, entity: str, states: dict[int, list[Row]]
) -> None:
    """Whatever the log tells of a row was so when a transaction had ended."""
    for key, records in bridge.records(entity).items():
        for record in records:
            if record.change and record.change["after"]:
                assert plain(record.change["after"]) in states[key], f"{entity} {key} never was so"
