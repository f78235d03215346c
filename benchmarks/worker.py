"""`python -m benchmarks.worker CONFIG`: capture as `bridgectl run` does it, telling on stdout when
what happened (seconds of the monotonic clock, which all processes share).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bridge.config import load
from bridge.observe import Captured, Notice, SnapshotProgress, SourceState
from bridge.wiring import open_bridge
from bridge.wiring.run_parts import build_parts, run_parts


def print_notice(notice: Notice) -> None:
    """One line a notice."""
    if isinstance(notice, (Captured, SnapshotProgress, SourceState)):
        row = {"at": time.monotonic(), "kind": type(notice).__name__, **asdict(notice)}
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


async def main(config: Path) -> None:
    """Capture until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_bridge(load(config), print_notice) as bridge:
        ended = await run_parts(build_parts(bridge, (), ["capture"]), stop, print_notice)
    if ended.failed:
        sys.exit(str(ended.failed))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
