"""A login that is refused while agents run: said in the log, in `status`, once and at once."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.bridge_folder import BridgeFolder
from tests.waiting import wait_until

READER = """
from bridge import Agent

agent = Agent("reader")


@agent.on("erp.customer", ops={"update"})
async def look(event, ctx):
    ctx.log.info("looks at it", extra={"seen": 1})
    await ctx.get("erp.sales_order", "1")
"""


@pytest.mark.usefixtures("processes")
def test_a_system_that_is_not_readable_is_said_by_handler_and_since_when(
    lived: BridgeFolder,
) -> None:
    """The file of the ERP can no longer be opened by those who read it."""
    (lived.folder / "agents" / "reader.py").write_text(READER)
    systems = lived.folder / "systems" / "erp.yaml"
    erp = lived.folder / "var" / "erp.db"
    kept = erp.read_bytes()
    systems.write_text(systems.read_text())
    erp.unlink()
    erp.mkdir()
    with lived.start("run", "--only", "agents", "--json") as bridge:
        try:
            waits = waiting(lived)
            log = bridge.stderr
            assert log is not None
            [handler] = [row for row in waits if row["part"] == "handler"]
            assert (handler["name"], handler["handler"]) == ("reader", "look")
            assert handler["system"] == "erp"
            [reads] = [row for row in waits if row["part"] == "reads"]
            assert reads["name"] == "erp"
            output = lived.call("status").out
            assert re.search(
                r"agent reader, handler look waits for system erp with 1 events", output
            )
        finally:
            bridge.terminate()
            err = bridge.communicate(timeout=60)[1]
    lines = [json.loads(line) for line in err.splitlines()]
    matching_lines = [line for line in lines if line["event"] == "looks at it"]
    assert matching_lines
    assert (matching_lines[0]["agent"], matching_lines[0]["handler"], matching_lines[0]["key"]) == (
        "reader",
        "look",
        "3",
    )
    assert (matching_lines[0]["topic"], matching_lines[0]["seen"]) == ("demo.erp.customer", 1)
    assert {"partition", "offset", "event_id", "entity"} <= matching_lines[0].keys()
    retrying = [line for line in lines if line.get("state") == "retrying"]
    assert len({(line["kind"], line["name"]) for line in retrying}) == 2
    assert len(retrying) <= 6
    erp.rmdir()
    erp.write_bytes(kept)


def waiting(bridge_folder: BridgeFolder) -> list[dict[str, object]]:
    def waits_of_both_parts() -> list[dict[str, object]] | None:
        rows = [row for row in bridge_folder.call("status", "--json").rows if row["kind"] == "wait"]
        return rows if {row["part"] for row in rows} >= {"handler", "reads"} else None

    return wait_until(waits_of_both_parts, describe=lambda: bridge_folder.call("status").out)
