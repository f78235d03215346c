from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from bridge.model.command import CommandRecord
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.waiting import WAIT_TIMEOUT_S

ROOT = Path(__file__).parents[2]
EVENTS = 400
KILLS = 5


async def start(folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.agent.crash_target",
        str(folder),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()
    assert process.stdout is not None
    # Read to the end, so that the pipe is closed before the loop is.
    await process.stdout.read()


@pytest.mark.usefixtures("processes")
@pytest.mark.slow
async def test_killed_again_and_again_each_event_is_answered_by_exactly_one_command(
    tmp_path: Path,
) -> None:
    """Even by handlers whose answers differ: no command is in the log twice, none is missing."""
    chance = random.Random(7)  # noqa: S311 - a seed, so that it can be told again
    async with open_erp(tmp_path) as here:
        here.customers(20)
        rows = [here.order(n, n % 20 + 1, 1) for n in range(1, 101)]
        for _ in range(EVENTS // 100):
            await here.publish("sales_order", 2, rows)
        for _ in range(KILLS):
            process = await start(tmp_path)
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 80)):
                assert await process.stdout.readline() == b"handled\n"
            await end(process)
        process = await start(tmp_path)
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                while len(await here.records("command")) < EVENTS:
                    await asyncio.sleep(0.1)
        finally:
            await end(process)
        await check(here)


async def check(here: ErpHarness) -> None:
    commands = [c for c in await here.records("command") if isinstance(c, CommandRecord)]
    assert len(commands) == EVENTS
    assert len({c.id for c in commands}) == EVENTS
    assert len({c.caused_by for c in commands}) == EVENTS
    for number in range(1, 101):
        of_one = [c.caused_by for c in commands if c.key == f'{{"order_no":"{number}"}}']
        assert of_one == sorted(of_one, key=str)
