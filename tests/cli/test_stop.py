"""A bridge ends within five seconds of a signal, whatever its handlers and functions do."""

import signal
import time
from pathlib import Path

import pytest

from tests.cli.bridge_folder import BridgeFolder
from tests.waiting import STOP_TIMEOUT_S, WAIT_TIMEOUT_S, wait_until

FOR_AN_HOUR = 3600
HANDLERS = {
    "plain": "def busy(event, ctx):\n    begin()\n    time.sleep({seconds})",
    "in a thread": "async def busy(event, ctx):\n    begin()\n    await asyncio.to_thread(time.sleep, {seconds})",
    "blocking": "async def busy(event, ctx):\n    begin()\n    time.sleep({seconds})",
    "computing": "async def busy(event, ctx):\n    begin()\n    while True:\n        pass",
}
AGENT = """
import asyncio
import time
from pathlib import Path

from bridge import Agent

agent = Agent("busy")


def begin():
    Path(__file__).with_name("begun").touch()


@agent.on("erp.customer", ops={{"create", "read"}})
{handler}
"""


def wait_for(path: Path) -> None:
    wait_until(path.exists, describe=lambda: path)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("form", HANDLERS)
def test_a_bridge_ends_within_five_seconds_of_a_signal_with_busy_handlers(
    bridge_folder: BridgeFolder, form: str
) -> None:
    handler = HANDLERS[form].format(seconds=FOR_AN_HOUR)
    (bridge_folder.folder / "agents" / "busy.py").write_text(AGENT.format(handler=handler))
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    with bridge_folder.start("run") as bridge:
        wait_for(bridge_folder.folder / "agents" / "begun")
        bridge.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        out, err = bridge.communicate(timeout=WAIT_TIMEOUT_S)
    assert time.monotonic() - begun < STOP_TIMEOUT_S, err
    assert bridge.returncode == 0, err
    assert "Traceback" not in err
    assert out == ""


BLOCKING = """
import time
from pathlib import Path


def convert(*values):
    Path(__file__).with_name("begun").touch()
    time.sleep(3600)


def leave(*values):
    raise SystemExit(0)
"""


def with_a_call(bridge_folder: BridgeFolder, function: str) -> None:
    """A field of customers goes through a function of the module `blocking`."""
    (bridge_folder.folder / "blocking.py").write_text(BLOCKING)
    path = bridge_folder.folder / "systems" / "erp.yaml"
    text = path.read_text()
    before, after = text.split("      name:", 1)
    rest = after.split("\n", 1)[1]
    field = f"      name:        {{from: name1, call: 'blocking:{function}', type: string}}\n"
    path.write_text(before + field + rest)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("signals", [1, 2])
def test_a_process_whose_event_loop_is_blocked_is_cut_off(
    bridge_folder: BridgeFolder, signals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a function of a field here; a second signal ends it at once."""
    monkeypatch.setenv("PYTHONPATH", str(bridge_folder.folder))
    with_a_call(bridge_folder, "convert")
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    with bridge_folder.start("run") as bridge:
        wait_for(bridge_folder.folder / "begun")
        begun = time.monotonic()
        for _ in range(signals):
            bridge.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        _, err = bridge.communicate(timeout=WAIT_TIMEOUT_S)
    assert time.monotonic() - begun < STOP_TIMEOUT_S, err
    assert bridge.returncode == 1
    assert "did not end in time after a signal; it was at" in err
    assert "blocking.py" in err
