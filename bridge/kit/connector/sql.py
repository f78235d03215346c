"""A legacy system that SQLAlchemy can reach: most test files need no more than this."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from bridge.connector import Connector, System, TableUse
from bridge.kit.connector.legacy import (
    COLUMNS,
    KEY,
    Create,
    Delete,
    Limitation,
    Operation,
    Rekey,
    TruncateTable,
    TypeCase,
    Update,
)


class SqlLegacy:
    """The suite's table in a SQL database.

    `url` for the connector, `own_url` for the legacy program (default: the same). `options` is
    what the system's `capture:` says. Call `close` at the end.
    """

    table = "kit_orders"
    limitations: frozenset[Limitation] = frozenset()
    key = KEY

    def __init__(
        self,
        build: str,
        url: str,
        *,
        types: Sequence[TypeCase],
        own_url: str = "",
        options: Any = None,
        connections: int = 2,
    ) -> None:
        module, _, name = build.partition(":")
        self.build = build
        self.connector: Connector = getattr(importlib.import_module(module), name)
        self.types = types
        self._url = url
        self._options = self.connector.options.model_validate(options or {})
        self._connections = connections
        self.engine = sa.create_engine(own_url or url)
        self._orders = sa.Table(
            self.table,
            sa.MetaData(),
            sa.Column(KEY, sa.String(10), primary_key=True),
            sa.Column("customer", sa.String(40)),
            sa.Column("qty", sa.Integer),
            sa.Column("price", sa.Numeric(15, 2)),
        )

    def system(self, *tables: str) -> System:
        """As `Legacy.system`."""
        return System(
            "kit",
            "legacy",
            self._url,
            self.engine.url.render_as_string(hide_password=True),
            self._options,
            tuple(TableUse(table) for table in tables or (self.table,)),
            self._connections,
        )

    def start(self) -> None:
        """As `Legacy.start`."""
        self._orders.create(self.engine)

    def apply(self, *operations: Operation, commit: bool = True) -> None:
        """As `Legacy.apply`."""
        with self.engine.connect() as connection:
            for operation in operations:
                connection.execute(self._statement(operation))
            if commit:
                connection.commit()
            else:
                connection.rollback()

    @contextmanager
    def open_transaction(self, *operations: Operation) -> Iterator[None]:
        """As `SupportsOpenTransactions.open_transaction`."""
        with self.engine.begin() as connection:
            for operation in operations:
                connection.execute(self._statement(operation))
            yield

    def _statement(self, operation: Operation) -> sa.Executable:
        orders, key = self._orders, self._orders.c[KEY]
        if isinstance(operation, Create):
            return sa.insert(orders).values(**operation.row)
        if isinstance(operation, Update):
            return sa.update(orders).where(key == operation.key).values(**operation.values)
        if isinstance(operation, Delete):
            return sa.delete(orders).where(key == operation.key)
        if isinstance(operation, Rekey):
            return sa.update(orders).where(key == operation.key).values({KEY: operation.new})
        assert isinstance(operation, TruncateTable)
        return sa.text(f"TRUNCATE TABLE {self.table}")

    def rows(self) -> list[dict[str, Any]]:
        """As `Legacy.rows`."""
        with self.engine.connect() as connection:
            result = connection.execute(sa.select(self._orders).order_by(self._orders.c[KEY]))
            return [dict(zip(COLUMNS, map(_plain, row), strict=True)) for row in result]

    def run(self, *statements: str) -> None:
        """Run statements as they are, in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def typed(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.typed`."""
        columns = ", ".join(f"c{at} {case.native}" for at, case in enumerate(cases))
        self.run(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {columns})")

    def fill(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.fill`."""
        literals = ", ".join(case.literal for case in cases)
        self.run(f"INSERT INTO {name} VALUES (1, {literals})")

    def set_qty(self) -> str:
        """As `Legacy.set_qty`."""
        return f"UPDATE {self.table} SET qty = :qty WHERE {KEY} = :key"

    def close(self) -> None:
        """Close the legacy program's connections."""
        self.engine.dispose()


def _plain(value: Any) -> Any:
    return value.quantize(Decimal("0.01")) if isinstance(value, Decimal) else value
