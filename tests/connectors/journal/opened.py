"""A source that has been opened, as the tests of the journal begin."""

from __future__ import annotations

from bridge.connector import Source, System
from connectors.journal import connector

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


async def opened(system: System, after: bytes | None = None) -> Source:
    """Of a system that has been set up."""
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(after)
    return source
