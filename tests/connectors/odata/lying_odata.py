"""The lying service as the connector suite's legacy system."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from bridge.connector import Connector, System, TableUse
from bridge.kit.connector import (
    COLUMNS,
    KEY,
    Create,
    Delete,
    Limitation,
    Operation,
    ServerLie,
    TypeCase,
    Update,
)
from connectors.odata.capture.options import ODataOptions
from tests.connectors.odata.lying_service import LyingService

WORDS: Mapping[ServerLie, str] = {
    "filters ignored": "filter",
    "filters find nothing": "filter finds nothing",
    "orders ignored": "order",
    "pages cut": "pages cut",
    "counts wrong": "count",
    "links ignored": "links",
}


class LyingODataLegacy:
    """Its rows are those in the service's memory."""

    build = "connectors.odata.connector:connector"
    limitations: frozenset[Limitation] = frozenset({"rekey", "rollback"})
    types: Sequence[TypeCase] = ()
    key = KEY

    def __init__(self, service: LyingService, table: str) -> None:
        module, _, name = self.build.partition(":")
        self.connector: Connector = getattr(importlib.import_module(module), name)
        self.table = table
        self._service = service

    def lie(self, *lies: ServerLie) -> None:
        """As `LyingLegacy.lie`."""
        self._service.lies = {WORDS[lie] for lie in lies}

    def system(self, *tables: str) -> System:
        """As `Legacy.system`."""
        options = ODataOptions.model_validate({"poll": 0.05, "overlap": 2, "reconcile": 600})
        uses = tuple(TableUse(table) for table in tables or (self.table,))
        return System("kit", "legacy", self._service.url, "http://service/", options, uses, 2)

    def start(self) -> None:
        """As `Legacy.start`."""
        self._service.sets[self.table].clear()

    def apply(self, *operations: Operation, commit: bool = True) -> None:
        """As `Legacy.apply`."""
        assert commit, "a service takes nothing back"
        for operation in operations:
            if isinstance(operation, Create):
                self._service.write(self.table, operation.row)
            elif isinstance(operation, Update):
                self._service.write(self.table, {KEY: operation.key, **operation.values})
            else:
                assert isinstance(operation, Delete)
                self._service.delete(self.table, operation.key)

    def rows(self) -> list[dict[str, Any]]:
        """As `Legacy.rows`."""
        rows = [{name: _value(name, row[name]) for name in COLUMNS} for row in self._rows()]
        return sorted(rows, key=lambda row: str(row[KEY]))

    def _rows(self) -> list[dict[str, Any]]:
        return list(self._service.sets[self.table])

    def typed(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.typed`: it has no tables but its own."""
        raise NotImplementedError(name)

    def fill(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.fill`."""
        raise NotImplementedError(name)

    def set_qty(self) -> str:
        """As `Legacy.set_qty`."""
        return f"PATCH {self.table}(:key) qty=:qty"

    def probe_qty(self) -> str:
        """As `Probes.probe_qty`."""
        return f"GET {self.table} {KEY}=:key, qty=:qty"


def _value(name: str, value: Any) -> Any:
    return Decimal(str(value)).quantize(Decimal("0.01")) if name == "price" and value else value
