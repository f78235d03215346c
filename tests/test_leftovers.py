"""A test that leaves something behind fails, and no test after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
from tests.leftovers import Leftovers
def pytest_configure(config): config.pluginmanager.register(Leftovers())
"""
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
LEAVING = """
import asyncio, socket, subprocess, sys, threading
stop = threading.Event()
async def test_task(): asyncio.ensure_future(asyncio.sleep(60))
def test_thread(): threading.Thread(target=stop.wait, args=[60], daemon=True, name="stays").start()
def test_socket():
    class Node: pass
    node = Node()
    node.itself, node.socket = node, socket.socket()
def test_child():
    global child
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
async def test_nothing():
    task = asyncio.ensure_future(asyncio.sleep(0))
    threading.Thread(target=lambda: None).start()
    await task
def test_end():
    stop.set()
    child.communicate()
"""


@pytest.mark.usefixtures("processes")
def test_what_a_test_leaves_behind_fails_it_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_leaving.py").write_text(LEAVING)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=Path(__file__).parents[1],
        env={"LEFTOVERS_GRACE_S": "0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line.split("::")[1] for line in run.stdout.splitlines() if line.startswith("ERROR")]
    names = [error.split(" ")[0] for error in errors]
    assert names == ["test_task", "test_thread", "test_socket", "test_child"], (
        run.stdout + run.stderr
    )
    for what in ("task <Task", "thread stays", "unclosed <socket", "process "):
        assert what in run.stdout
