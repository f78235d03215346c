"""A connector whose writer keeps no ledger, as those of ERP systems that are only called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from bridge.connector import Capabilities, Done, Effect, System, Writer
from bridge.kit.connector import SqlLegacy
from bridge.model.errors import BridgeError, Unsupported
from connectors.journal import JournalConnector
from connectors.journal.dialects.choose import dialect_for
from connectors.sql.dialect import SqlDialect
from connectors.sql.engine import make_engine
from connectors.sql.read.rows import TableShapes
from connectors.sql.write.effect import execute_effect


class UnledgeredWriter:
    """Each effect is a transaction of its own, of which nothing but the effect remains."""

    in_doubt_timeout = 0.0

    def __init__(self, system: System) -> None:
        self._engine = make_engine(system)
        self._dialect = SqlDialect(name="sqlite", bind=dialect_for(system).sql.bind)
        self._tables = TableShapes(system.tables, self._dialect)

    async def prepare(self) -> None: ...

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        return [self._execute_one(effect) for effect in effects]

    def _execute_one(self, effect: Effect) -> Done | Exception:
        with self._engine.begin() as connection:
            try:
                return execute_effect(connection, self._dialect, self._tables, effect)
            except BridgeError as error:
                return error

    async def probe(self, effect: Effect) -> Done | None:
        if not effect.probe:
            raise Unsupported(f"command {effect.command_id!r} declares no probe")
        with self._engine.begin() as connection:
            value: Any = connection.execute(sa.text(effect.probe), effect.parameters).scalar()
        return Done(1) if value else None

    async def close(self) -> None:
        self._engine.dispose()


class Unledgered(JournalConnector):
    """`bridge.connector.Connector` without the capability `ledger`."""

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), ledger=False, markers=False)

    async def writer(self, system: System) -> Writer:
        return UnledgeredWriter(system)


class ProbedLegacy(SqlLegacy):
    """The suite's table, with a probe of its command."""

    def probe_qty(self) -> str:
        return f"SELECT 1 FROM {self.table} WHERE order_no = :key AND qty = :qty"


connector = Unledgered()
