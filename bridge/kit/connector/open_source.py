"""A Source is opened, in the suite and in its child processes."""

from __future__ import annotations

import asyncio
import time

from bridge.connector import Checkpoint, Source, System
from bridge.kit.connector.legacy import LegacySystem
from bridge.model.errors import RetryLater

WAIT_TIMEOUT_S = 60.0
"""Seconds that the suite waits for what must come."""


async def open_source(
    legacy: LegacySystem, system: System, after: Checkpoint | None
) -> tuple[Source, Checkpoint]:
    """An open source; one whose predecessor is still being noticed dead is asked for again."""
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while True:
        source = await legacy.connector.source(system)
        try:
            return source, await source.open(after)
        except RetryLater:
            await source.close()
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        except BaseException:
            await source.close()
            raise
