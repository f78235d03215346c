"""The tables of a system as its reader and its writer use them."""

from __future__ import annotations

from dataclasses import replace

from bridge.connector import System, TableUse
from bridge.model.errors import ConfigurationError
from connectors.odata.metadata.model import ODataService
from connectors.odata.protocol.entity_table import EntitySetTable, build_table


class EntitySetTables:
    """The tables of a system, made once per metadata: shapes are compared by identity, and one whose
    columns are the same in later metadata stays the same object.
    """

    def __init__(self, system: System) -> None:
        self._where = f"system {system.name!r}"
        self._uses = {use.table: use for use in system.tables}
        self._by_name: dict[str, tuple[ODataService, EntitySetTable]] = {}

    def of(self, service: ODataService, name: str) -> EntitySetTable:
        """The table of that name; with all columns where the configuration names none. Raises
        ConfigurationError.
        """
        service_before, last = self._by_name.get(name, (None, None))
        if last is not None and service_before is service:
            return last
        try:
            table = build_table(service, self._uses.get(name) or TableUse(name))
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._where}: {error}") from None
        if last is not None and last.shape.columns == table.shape.columns:
            table = replace(table, shape=last.shape)
        self._by_name[name] = service, table
        return table
