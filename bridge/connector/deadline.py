"""Ends what an Ask does at its deadline, for readers whose requests may be cancelled at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.connector.ask import Ask
from bridge.model.errors import DeadlineExceeded


@asynccontextmanager
async def until_deadline(ask: Ask, where: str) -> AsyncIterator[None]:
    """Cancel the block at the deadline of `ask` and raise DeadlineExceeded; `where` is for people."""
    if ask.deadline is None:
        yield
        return
    begun = time.monotonic()
    try:
        async with asyncio.timeout(max(0.0, ask.deadline - begun)) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        waited = time.monotonic() - begun
        raise DeadlineExceeded(
            f"{where} table {ask.table!r}: the request was ended after {waited:.1f} s, at the deadline "
            "of its reads"
        ) from None
