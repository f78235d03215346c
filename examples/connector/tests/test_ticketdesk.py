"""The suite of legacy-bridge over this connector: `pytest` runs all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from sample_system import SampleSystem, StoredTable
from ticketdesk import connector

from bridge.connector import System, TableUse
from bridge.kit.connector import (
    COLUMNS,
    KEY,
    ConnectorSuite,
    Create,
    Delete,
    Limitation,
    Operation,
    Rekey,
    TypeCase,
    Update,
)

COLUMN_TYPES = ("string", "string", "integer", "decimal(15,2)")


class TicketdeskLegacy:
    """The legacy side: what users of Ticketdesk do, without the bridge."""

    build = "ticketdesk:connector"
    connector = connector
    table = "kit_orders"
    types: Sequence[TypeCase] = [
        TypeCase("integer", "7", "integer", 7),
        TypeCase("string", "Münze", "string", "Münze"),
        TypeCase("decimal(15,2)", "12.50", "decimal(15,2)", Decimal("12.50")),
    ]
    # What Ticketdesk's users can't do: take a transaction back.
    limitations: frozenset[Limitation] = frozenset({"rollback"})
    key = KEY

    def __init__(self, sample: SampleSystem) -> None:
        self._sample = sample

    def system(self, *tables: str) -> System:
        options = connector.options(interval=0.01, overlap=0.2, compare_every=0.3)
        uses = tuple(TableUse(name) for name in tables or (self.table,))
        return System(
            "acme", "sample", self._sample.url, self._sample.url, options, uses, commands=False
        )

    def start(self) -> None:
        self._make(self.table, KEY, dict(zip(COLUMNS, COLUMN_TYPES, strict=True)))

    def _make(self, name: str, key: str, columns: dict[str, str]) -> None:
        with self._sample.transaction() as tables:
            tables[name] = StoredTable(key, columns)

    def apply(self, *operations: Operation, commit: bool = True) -> None:
        with self._sample.transaction() as tables:
            table = tables[self.table]
            for operation in operations:
                match operation:
                    case Create(row=row):
                        self._sample.put(table, as_json(row))
                    case Update(key=key, values=values):
                        self._sample.put(table, {KEY: key, **as_json(values)})
                    case Delete(key=key):
                        del table.rows[key]
                    case Rekey(key=key, new=new):
                        self._sample.put(table, table.rows.pop(key) | {KEY: new})

    def rows(self) -> list[dict[str, Any]]:
        with self._sample.transaction() as tables:
            stored = [row for _, row in sorted(tables[self.table].rows.items())]
        return [
            {name: row[name] for name in COLUMNS}
            | {"price": None if row["price"] is None else Decimal(row["price"])}
            for row in stored
        ]

    def typed(self, name: str, cases: Sequence[TypeCase]) -> None:
        columns = {f"c{number}": case.native for number, case in enumerate(cases)}
        self._make(name, "id", {"id": "integer"} | columns)

    def fill(self, name: str, cases: Sequence[TypeCase]) -> None:
        values = {
            f"c{number}": int(case.literal) if case.native == "integer" else case.literal
            for number, case in enumerate(cases)
        }
        with self._sample.transaction() as tables:
            self._sample.put(tables[name], {"id": 1} | values)

    def set_qty(self) -> str:
        return ""


def as_json(row: Any) -> dict[str, Any]:
    """Decimals are text in JSON."""
    return {
        name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()
    }


class TestTicketdesk(ConnectorSuite):
    connector = connector
    limitations = TicketdeskLegacy.limitations

    @pytest.fixture
    def fresh(self) -> Iterator[TicketdeskLegacy]:
        sample = SampleSystem()
        yield TicketdeskLegacy(sample)
        sample.close()
