"""The executor as a separate process, which can kill itself at a given point."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from bridge.commands.contract import AFTER_LEGACY, CrashPointHook
from bridge.config import load
from bridge.wiring import open_bridge


def killer(die_after: int) -> CrashPointHook:
    """A crash-point hook that kills this process after the `die_after`th legacy commit."""
    commits = 0

    def step(name: str) -> None:
        nonlocal commits
        if name == AFTER_LEGACY:
            commits += 1
            if commits == die_after:
                os.kill(os.getpid(), signal.SIGKILL)

    return step


async def main(config: Path, die_after: int) -> None:
    """Execute the commands of every system until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_bridge(load(config)) as bridge:
        await bridge.create_topics()
        executors = [
            await bridge.executor(name, steps=killer(die_after)) for name in bridge.systems
        ]
        await asyncio.gather(*(executor.run(stop) for executor in executors))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
