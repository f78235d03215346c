"""Who took over from an instance that was fenced, if anybody did.

A broker also fences the owner of a transaction that took longer than the broker waits (a machine
that slept), and whoever takes over may die before it has begun. Nobody captures then until the one
that was fenced continues.
"""

from __future__ import annotations

import asyncio

from bridge.capture.checkpoint import store
from bridge.capture.contract import CaptureDependencies

POLL_INTERVAL_S = 0.25


async def successor(deps: CaptureDependencies, instance: str) -> str:
    """The name of the instance that wrote itself into the checkpoint record instead of `instance`;
    empty when nobody has within `Limits.successor` seconds. Raises RetryLater.
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
