"""The bridge's capture as a process that may be killed, or that kills itself at a step.

`python -m tests.torture.child FOLDER [STEP NTH]`
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed

from bridge.config import load
from bridge.model.errors import RetryLater
from bridge.wiring import Bridge, open_bridge

READY = "SIGTERM ends this process in order from now on"


def killer(step: str, nth: int) -> Callable[[str], None]:
    """Ends this process, as kill -9 does, when it comes to a step for the nth time."""
    left = nth

    def steps(name: str) -> None:
        nonlocal left
        if name == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return steps


async def run(folder: Path, steps: Callable[[str], None] | None) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:

        async def enter() -> Bridge:
            return await stack.enter_async_context(open_bridge(load(folder / "bridge.yaml")))

        # The broker may have been killed just now.
        patient = AsyncRetrying(retry=retry_if_exception_type(RetryLater), wait=wait_fixed(0.2))
        bridge: Bridge = await patient(enter)
        running = asyncio.ensure_future(bridge.capture("erp", crash_point=steps).run())
        loop.add_signal_handler(signal.SIGTERM, running.cancel)
        print(READY, flush=True)  # noqa: T201 - whoever started this process waits for it
        await asyncio.gather(running, return_exceptions=False)


if __name__ == "__main__":
    chosen = killer(sys.argv[2], int(sys.argv[3])) if len(sys.argv) > 2 else None
    try:
        asyncio.run(run(Path(sys.argv[1]), chosen))
    except asyncio.CancelledError:
        sys.exit(0)
