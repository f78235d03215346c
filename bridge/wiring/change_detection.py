"""How the changes of each entity of a system are detected, as far as its connector says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bridge.connector import Connector, System
from bridge.model.errors import BridgeError
from bridge.model.specs import EntitySpec

RESPONSE_TIMEOUT_S = 5.0


async def describe_change_detection(
    connector: Connector, system: System, entities: tuple[EntitySpec, ...]
) -> tuple[Mapping[str, str], str]:
    """A phrase for each entity, by its bare name; and why there is none, when there should be."""
    describe = getattr(connector, "describe_change_detection", None)
    if describe is None or not connector.capabilities().capture:
        return {}, ""
    try:
        async with asyncio.timeout(RESPONSE_TIMEOUT_S):
            by_table: Mapping[str, str] = await describe(system)
    except TimeoutError:
        return {}, f"the system did not answer within {RESPONSE_TIMEOUT_S:.0f} s"
    except BridgeError as error:
        return {}, str(error)
    phrases = {entity.name: by_table.get(entity.table) for entity in entities}
    return {name: phrase for name, phrase in phrases.items() if phrase is not None}, ""
