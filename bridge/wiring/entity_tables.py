"""The entities of a system mapped onto their tables, some of which may be impossible to
describe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from bridge.capture.entity import stored_type
from bridge.capture.table_shapes import describe_tables
from bridge.config import SystemConfig
from bridge.connector import Connector, Shape, System
from bridge.log.registry_port import Registry
from bridge.model.error_text import describe_error
from bridge.model.errors import UNAVAILABLE, BridgeError, ConfigurationError, Rejected
from bridge.model.names import change_topic
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type

#: Seconds between two descriptions of what is missing, however often it is asked for.
DESCRIBE_INTERVAL_S = 5.0

Described = tuple[dict[str, EntityTable], dict[str, str]]
"""The entities that are whole by bare name, and why each of the others isn't."""


class EntityTables(Mapping[str, EntityTable]):
    """By bare name those that are whole. Asking for one that isn't raises Rejected
    (`unavailable`) with the reason; it spares the others, and has the tables described again, so
    that whoever asks once they have been fixed gets it. `close` when done.

    Made in the event loop that they are described in; any thread may ask.
    """

    def __init__(
        self,
        described: Described,
        describe: Callable[[], Awaitable[Described]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._whole, self._lacking = described
        self._describe = describe
        self._monotonic = monotonic
        self._loop = asyncio.get_running_loop()
        self._earliest = monotonic() + DESCRIBE_INTERVAL_S
        self._describing: asyncio.Task[None] | None = None

    def __getitem__(self, name: str) -> EntityTable:
        why = self._lacking.get(name)
        if why is not None:
            if self._monotonic() >= self._earliest:
                # Agents' handlers ask from event loops of their own, where nothing of the bridge runs.
                self._loop.call_soon_threadsafe(self._describe_again)
            raise Rejected(
                UNAVAILABLE,
                f"entity {name!r} can be neither read nor changed: {why} (once that is fixed, ask "
                "again)",
            )
        return self._whole[name]

    def _describe_again(self) -> None:
        under_way = self._describing is not None and not self._describing.done()
        if under_way or self._monotonic() < self._earliest:
            return
        self._describing = self._loop.create_task(self._look())

    async def _look(self) -> None:
        try:
            whole, lacking = await self._describe()
        except BridgeError:
            return  # callers continue to get the previous reason
        except Exception as error:  # noqa: BLE001 - whatever a connector raises is about its system
            reason = f"a defect of its connector: {describe_error(error)}"
            self._lacking.update(dict.fromkeys(self._lacking, reason))
            return
        finally:
            self._earliest = self._monotonic() + DESCRIBE_INTERVAL_S
        for name in list(self._lacking):
            if name in whole:
                # Those that were whole before stay what they are: they follow their tables.
                self._whole[name] = whole[name]
                del self._lacking[name]
            elif name in lacking:
                self._lacking[name] = lacking[name]

    async def close(self) -> None:
        """Stop describing."""
        if self._describing is not None:
            self._describing.cancel()
            await asyncio.gather(self._describing, return_exceptions=True)

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


async def entity_tables(
    connector: Connector, system: System, config: SystemConfig, registry: Registry
) -> EntityTables:
    """Asks the catalogue, and the registry for what the entities looked like so far: fields whose
    columns are gone are part of their events, and so of rows' versions.

    Raises ConfigurationError if no entity is whole, RetryLater while the system or the registry
    is unavailable.
    """

    async def describe() -> Described:
        return await _describe(connector, system, config, registry)

    return EntityTables(await describe(), describe)


async def _describe(
    connector: Connector, system: System, config: SystemConfig, registry: Registry
) -> Described:
    shapes, why = await describe_tables(connector, system)
    mask = config.mask_key.reveal().encode() if config.mask_key else None
    whole: dict[str, EntityTable] = {}
    lacking: dict[str, str] = {}
    for spec in config.spec.entities:
        shape = shapes.get(spec.table)
        if shape is None:
            lacking[spec.name] = why.get(spec.table) or f"there is no table {spec.table!r}"
            continue
        try:
            recorded = await _recorded(registry, system.bridge, spec)
            whole[spec.name] = _entity_table(spec, shape, mask, recorded)
        except ConfigurationError as error:
            lacking[spec.name] = str(error)
    if not whole:
        raise ConfigurationError("; ".join(dict.fromkeys(lacking.values())))
    return whole, lacking


async def _recorded(registry: Registry, bridge: str, spec: EntitySpec) -> Entity | None:
    """The entity as its newest event has it; None where none was captured."""
    topic = change_topic(bridge, spec.system, spec.name)
    value = await registry.latest(f"{topic}-value")
    key = await registry.latest(f"{topic}-key")
    if value is None or key is None:
        return None
    try:
        return stored_type(spec.qualified, topic, key, value)
    except ConfigurationError:
        # Capture and `check` say that these schemas are something else's. Rows can be read.
        return None


def _entity_table(
    spec: EntitySpec, shape: Shape, mask: bytes | None, recorded: Entity | None
) -> EntityTable:
    if recorded is not None:
        try:
            table = EntityTable(spec, entity_type(spec, shape, recorded), shape, mask)
        except ConfigurationError:
            # Capture pauses the entity. Its rows can be read as they are.
            return EntityTable(spec, entity_type(spec, shape), shape, mask)
        table.remember(recorded)
        return table
    return EntityTable(spec, entity_type(spec, shape), shape, mask)
