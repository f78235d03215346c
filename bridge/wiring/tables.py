"""The entities of a system over their tables, where perhaps not all of them can be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge.capture.catalogue import described
from bridge.config import SystemConfig
from bridge.connector import Connector, System
from bridge.model.errors import ConfigurationError, Rejected
from bridge.plan.make import entity_type
from bridge.plan.table import EntityTable


class EntityTables(Mapping[str, EntityTable]):
    """By bare name those that are whole. Asking for one that isn't raises Rejected
    (`unavailable`) with the reason; it spares the others.
    """

    def __init__(self, whole: Mapping[str, EntityTable], lacking: Mapping[str, str]) -> None:
        self._whole = whole
        self._lacking = lacking

    def __getitem__(self, name: str) -> EntityTable:
        why = self._lacking.get(name)
        if why is not None:
            raise Rejected(
                "unavailable",
                f"entity {name!r} can be neither read nor changed: {why} (once that is mended, "
                "start the bridge again)",
            )
        return self._whole[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


async def tables_of(connector: Connector, system: System, config: SystemConfig) -> EntityTables:
    """Asks the catalogue. Raises ConfigurationError where no entity is whole, RetryLater while the
    system is away.
    """
    shapes, why = await described(connector, system)
    mask = config.mask_key.reveal().encode() if config.mask_key else None
    whole: dict[str, EntityTable] = {}
    lacking: dict[str, str] = {}
    for spec in config.spec.entities:
        shape = shapes.get(spec.table)
        if shape is None:
            lacking[spec.name] = why.get(spec.table) or f"there is no table {spec.table!r}"
            continue
        try:
            whole[spec.name] = EntityTable(spec, entity_type(spec, shape), shape, mask)
        except ConfigurationError as error:
            lacking[spec.name] = str(error)
    if not whole:
        raise ConfigurationError("; ".join(dict.fromkeys(lacking.values())))
    return EntityTables(whole, lacking)
