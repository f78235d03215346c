"""Runs the executor of the test's ERP and dies by SIGKILL at the named step."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from bridge.commands import CommandExecutor
from connectors.journal import connector
from tests.agent.world import BRIDGE, SPEC, world


async def main(folder: Path, step: str) -> None:
    def die(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async with world(folder) as here:
        executor = CommandExecutor(
            SPEC,
            bridge=BRIDGE,
            log=here.log,
            codec=here.codec,
            writer=await connector.writer(here.system),
            ledger=True,
            tables=here.tables,
            steps=die,
            session_timeout=1.0,
        )
        await executor.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
