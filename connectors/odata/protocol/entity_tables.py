"""The tables of a system as its reader and its writer use them."""

from __future__ import annotations

from bridge.connector import System, TableUse
from bridge.model.errors import ConfigurationError
from connectors.odata.metadata.model import ODataService
from connectors.odata.protocol.entity_table import EntitySetTable, build_table


class EntitySetTables:
    """The tables of a system, made once each: shapes are compared by identity."""

    def __init__(self, system: System) -> None:
        self._where = f"system {system.name!r}"
        self._uses = {use.table: use for use in system.tables}
        self._by_name: dict[str, EntitySetTable] = {}

    def of(self, service: ODataService, name: str) -> EntitySetTable:
        """The table of that name; with all columns where the configuration names none. Raises
        ConfigurationError.
        """
        table = self._by_name.get(name)
        if table is None:
            try:
                table = build_table(service, self._uses.get(name) or TableUse(name))
            except ConfigurationError as error:
                raise ConfigurationError(f"{self._where}: {error}") from None
            self._by_name[name] = table
        return table
