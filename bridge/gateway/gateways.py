"""Reads of all systems, by `system.entity`: each goes to the gateway of its system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bridge.closing import close_all
from bridge.gateway.gateway import Gateway
from bridge.model.errors import Rejected, RetryLater
from bridge.model.names import split_entity
from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.row_selection import ALL_ROWS, RowSelection
from bridge.ports.held_entry import HeldSource


class Gateways:
    """Implements `EntityReads` over all systems. `away`: system -> why it has no gateway yet; its
    reads raise RetryLater.
    """

    def __init__(
        self, gateways: Mapping[str, Gateway], away: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._gateways = gateways
        self._away = away
        self._routes: dict[str, tuple[Gateway, str]] = {}

    def held_source(self, entity: str) -> HeldSource | None:
        """As SupportsHeldRows."""
        system, name = split_entity(entity)
        gateway = self._gateways.get(system)
        return None if gateway is None else gateway.held_source(name)

    async def get(self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS) -> Any | None:
        """As Gateway.get."""
        gateway, name = self._routes.get(entity) or self._of(entity)
        return await gateway.get(name, key, demands)

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any | None]:
        """As Gateway.get_many."""
        gateway, name = self._of(entity)
        return list(await gateway.get_many(name, keys, demands))

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """As Gateway.related."""
        gateway, name = self._of(entity)
        return await gateway.related(name, row, relation, demands)

    async def related_many(
        self, entity: str, rows: Sequence[Any], relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> list[Any]:
        """As Gateway.related_many."""
        gateway, name = self._of(entity)
        return await gateway.related_many(name, rows, relation, demands)

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
        selection: RowSelection = ALL_ROWS,
    ) -> list[Any]:
        """As Gateway.query."""
        gateway, name = self._of(entity)
        return await gateway.query(name, where, limit, demands, selection)

    async def close(self) -> None:
        """Close every gateway."""
        await close_all(*(gateway.close for gateway in self._gateways.values()))

    def _of(self, entity: str) -> tuple[Gateway, str]:
        system, name = split_entity(entity)
        gateway = self._gateways.get(system)
        if gateway is None:
            if (why := self._away.get(system)) is not None:
                raise RetryLater(f"system {system!r} can't be read yet: {why}")
            names = ", ".join(sorted(self._gateways)) or "none"
            raise Rejected(
                "unknown_system", f"no reads of system {system!r}; there are gateways of {names}"
            )
        if gateway.has(name):
            self._routes[entity] = gateway, name
        return gateway, name
