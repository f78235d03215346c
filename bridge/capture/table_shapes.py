"""The shapes of a system's tables, even if some of them can't be described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge.connector import Connector, Shape, System, TableUse
from bridge.model.errors import ConfigurationError


async def describe_tables(
    connector: Connector, system: System
) -> tuple[Mapping[str, Shape], Mapping[str, str]]:
    """The shapes of the tables that can be described, and why each of the others can't be.

    Raises errors of the system itself (a refused login is not retried for each table), and
    RetryLater while it is unavailable.
    """
    try:
        return await connector.describe(system), {}
    except ConfigurationError:
        await connector.describe(replace(system, tables=()))
        return await _apart(connector, system)


async def _apart(connector: Connector, system: System) -> tuple[dict[str, Shape], dict[str, str]]:
    """Describe each half separately, because at least one table can't be described."""
    shapes: dict[str, Shape] = {}
    missing: dict[str, str] = {}
    middle = len(system.tables) // 2
    for half in filter(None, (system.tables[:middle], system.tables[middle:])):
        part = replace(system, tables=half)
        try:
            shapes |= await connector.describe(part)
        except ConfigurationError as error:
            if len(half) == 1:
                missing[half[0].table] = str(error)
                continue
            half_shapes, half_missing = await _apart(connector, part)
            shapes |= half_shapes
            missing |= half_missing
    return shapes, missing


def table_uses(system: System, tables: set[str]) -> tuple[TableUse, ...]:
    """The declared uses of these tables."""
    return tuple(use for use in system.tables if use.table in tables)
