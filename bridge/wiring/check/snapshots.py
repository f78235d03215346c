"""Whether the first snapshot of each entity could be taken: a few rows of each are read as it would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Final

from bridge.config import SystemConfig
from bridge.connector import Connector, Snapshot, System
from bridge.model.error_text import error_message
from bridge.model.errors import BridgeError, RetryLater, Unsupported
from bridge.wiring.check.result import CheckResult

TRIAL_ROWS: Final = 2
"""Of each of the two chunks that are read: the second one begins after the first one's last row."""
TRIAL_TIMEOUT_S: Final = 30.0
"""For both chunks of one entity."""
TRIES: Final = 2


async def snapshot_findings(
    config: SystemConfig, connector: Connector, system: System, left_out: Collection[str]
) -> AsyncGenerator[CheckResult, None]:
    """What would keep a snapshot from being taken, by entity. `left_out`: tables of which something
    else is wrong already.
    """
    tables = dict.fromkeys(entity.table for entity in config.spec.entities)
    chosen = [table for table in tables if table not in left_out]
    if not chosen or not connector.capabilities().snapshot:
        return
    location = f"system {system.name}"
    try:
        snapshot = await connector.snapshot(system)
    except BridgeError as error:
        what = f"no snapshot can be taken: {error_message(error)}"
        yield CheckResult("error", "system", what, location)
        return
    try:
        for table in chosen:
            reason = await _refusal(snapshot, table)
            names = [each.qualified for each in config.spec.entities if each.table == table]
            if reason:
                what = f"the first snapshot of {', '.join(names)} can't be taken: {reason}"
                yield CheckResult("error", "system", what, location)
    finally:
        await snapshot.close()


async def _refusal(snapshot: Snapshot, table: str) -> str:
    """Why the table can't be read in chunks; empty: it can. What may pass is tried once more."""
    reason = ""
    for _ in range(TRIES):
        try:
            async with asyncio.timeout(TRIAL_TIMEOUT_S):
                chunk = await snapshot.chunk(table, None, None, TRIAL_ROWS)
                if chunk.last is not None:
                    await snapshot.chunk(table, None, chunk.last, TRIAL_ROWS)
        except TimeoutError:
            return (
                f"{TRIAL_ROWS} rows of {table!r} in the order of its key were not read within "
                f"{TRIAL_TIMEOUT_S:.0f} s: is there an index over the key, or does somebody keep the "
                "table locked?"
            )
        except Unsupported:
            return ""
        except RetryLater as error:
            reason = error_message(error)
        except BridgeError as error:
            return error_message(error)
        else:
            return ""
    return reason
