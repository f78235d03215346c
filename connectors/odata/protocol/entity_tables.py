"""The tables of a system as its reader and its writer use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.connector import System, TableUse
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.plan.steps import MISSING
from connectors.odata.metadata.model import Service
from connectors.odata.protocol.entity_table import Row, Table, table_of


class Tables:
    """The tables of a system, made once each: shapes are compared by identity."""

    def __init__(self, system: System) -> None:
        self._where = f"system {system.name!r}"
        self._uses = {use.table: use for use in system.tables}
        self._made: dict[str, Table] = {}

    def of(self, service: Service, name: str) -> Table:
        """The table of that name; with all columns where the configuration names none. Raises
        ConfigurationError.
        """
        table = self._made.get(name)
        if table is None:
            try:
                table = table_of(service, self._uses.get(name) or TableUse(name))
            except ConfigurationError as error:
                raise ConfigurationError(f"{self._where}: {error}") from None
            self._made[name] = table
        return table


def whole(table: Table, row: Mapping[str, Any]) -> Row:
    """The raw row of a read: what was asked for and isn't there is null, as some services write.

    Raises RetryLater for one without its key, behind which no page could begin.
    """
    found = tuple(None if one is MISSING else one for one in table.row(row))
    if not table.has_key(found):
        names = ", ".join(p.name for p in table.key)
        raise RetryLater(
            f"entity set {table.name!r}: a row came without its key, or with one of another type ({names})"
        )
    return found
