"""A source that has been opened, as the tests of the journal begin."""

from __future__ import annotations

from bridge.connector import Batch, Source, System
from connectors.journal import connector

from .conftest import Legacy

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


async def opened(system: System, after: bytes | None = None) -> Source:
    """Of a system that has been set up."""
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(after)
    return source


async def begun(legacy: Legacy, after: bytes | None = None, **options: int) -> Source:
    system = legacy.system("t", **{"purge_after_ms": 0, **options})
    await connector.setup(system)
    source = await connector.source(system)
    try:
        await source.open(after)
    except BaseException:
        await source.close()
        raise
    return source


async def taken(source: Source) -> Batch:
    """What there is, acknowledged."""
    batch = await source.read(1000, 0)
    await source.ack(batch.checkpoint)
    return batch


async def everything(source: Source, after: bytes | None) -> None:
    """Open it, if it has to be, and read to the end."""
    if after is not None:
        await source.open(after)
    while (await source.read(10, 0)).changes:
        pass
