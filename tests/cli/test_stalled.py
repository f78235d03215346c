"""`status` where something makes no progress although all tasks run: since when, why, exit code 1."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bridge.capture.checkpoint import store
from bridge.capture.report import status_record
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry
from bridge.wiring.group_reports import KEY_PREFIX
from tests.cli.bridge_folder import BridgeFolder, create_bridge_folder

MINUTE = 60_000_000
WHY = "its snapshot can't continue: 403: the login may not read customers"


def report(bridge_folder: BridgeFolder, *, waits_since: int, lasting: bool) -> None:
    """The newest report of a capture that runs, and of which one entity waits."""
    now = time.time_ns() // 1000
    owed = {"customer": {"since": now - waits_since, "reason": WHY, "lasting": lasting}}
    write(bridge_folder, status_record.SourceStatus("erp", "streaming", now, now, owed=owed))


def write(bridge_folder: BridgeFolder, status: status_record.SourceStatus) -> None:
    async def act() -> None:
        log = EmbeddedLog(bridge_folder.folder / "var" / "bridge.db", compact_every=None)
        await log.open()
        await log.create_topics([status_record.topic("demo"), store.topic("demo")])
        await log.append(
            status_record.topic("demo").name,
            [Entry(b"erp", status_record.dump(status)), Entry(f"{KEY_PREFIX}x".encode(), b"{}")],
        )
        await log.close()

    asyncio.run(act())


def test_an_entity_that_is_paused_or_in_trouble_is_said_once(tmp_path: Path) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    now = time.time_ns() // 1000
    paused = {"customer": {"reason": "erp.customer: its type is another", "since": now - MINUTE}}
    troubles = {"sales_order": "its table is gone"}
    status = status_record.SourceStatus(
        "erp", "streaming", now, now, paused=paused, troubles=troubles
    )
    write(bridge_folder, status)
    answer = bridge_folder.call("status")
    assert answer.code == 1
    (line,) = [line for line in answer.out.splitlines() if "its type is another" in line]
    assert line.startswith("erp.customer is paused, no progress since ")
    assert line.endswith("): its type is another")
    (line,) = [line for line in answer.out.splitlines() if "its table is gone" in line]
    assert line.startswith("erp.sales_order can't be captured for now, no progress since ")


def test_status_says_which_entity_makes_no_progress_since_when_and_why(tmp_path: Path) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    report(bridge_folder, waits_since=10 * MINUTE, lasting=False)
    assert bridge_folder.call("status").code == 0
    report(bridge_folder, waits_since=20 * MINUTE, lasting=False)
    answer = bridge_folder.call("status")
    assert answer.code == 1
    assert "erp.customer: no progress since" in answer.out
    assert f"(20 m): {WHY}" in answer.out
    [system] = [
        row for row in bridge_folder.call("status", "--json").rows if row["kind"] == "system"
    ]
    [stall] = system["stalls"]
    assert (stall["name"], stall["reason"], system["healthy"]) == ("erp.customer", WHY, False)
    assert 1200 <= stall["seconds"] < 1800
    # As long as the configuration says; what was refused for good is told at once.
    with bridge_folder.config.open("a") as file:
        file.write("stalled_after: 1h\n")
    assert bridge_folder.call("status").code == 0
    report(bridge_folder, waits_since=MINUTE, lasting=True)
    assert bridge_folder.call("status").code == 1
