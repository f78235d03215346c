"""Which instance took over from a fenced one, if any did.

A broker also fences the owner of a transaction that exceeded the broker's timeout (a suspended
machine), and a successor may die before it has begun. Then nothing is captured until the fenced
instance continues.
"""

from __future__ import annotations

import asyncio

from bridge.capture.checkpoint import store
from bridge.capture.contract import CaptureDependencies

POLL_INTERVAL_S = 0.25


async def successor(deps: CaptureDependencies, instance: str) -> str:
    """The name of the instance that replaced `instance` in the checkpoint record; empty if none has
    within `CaptureLimits.successor` seconds. Raises RetryLater.
    """
    until = deps.monotonic() + deps.limits.successor
    while True:
        progress = await store.progress_of(deps.log, deps.bridge, deps.system.name)
        if progress is not None and progress.owner != instance:
            return progress.owner
        left = until - deps.monotonic()
        if left <= 0:
            return ""
        await asyncio.sleep(min(POLL_INTERVAL_S, left))
