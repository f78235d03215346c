"""By what means each entity of a system is captured, as far as its connector tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bridge.connector import Connector, System
from bridge.model.errors import BridgeError
from bridge.model.specs import EntitySpec

PATIENCE = 5.0


async def means_of(
    connector: Connector, system: System, entities: tuple[EntitySpec, ...]
) -> tuple[Mapping[str, str], str]:
    """A phrase for each entity, by its bare name; and why there is none, when there should be."""
    ask = getattr(connector, "means", None)
    if ask is None or not connector.capabilities().capture:
        return {}, ""
    try:
        async with asyncio.timeout(PATIENCE):
            told: Mapping[str, str] = await ask(system)
    except TimeoutError:
        return {}, f"the system did not answer within {PATIENCE:.0f} s"
    except BridgeError as error:
        return {}, str(error)
    return {entity.name: told[entity.table] for entity in entities if entity.table in told}, ""
