"""An honest ERP under a load is never taken for one that ignores options."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest

from bridge.connector import System, TableUse
from connectors.tryton.capture.poll import PollQueries
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.options import TrytonOptions
from connectors.tryton.protocol.domain_check import may_satisfy

MODEL = "sale.order"


class BusyErp:
    """A few rows of one model; before each answer others write, delete and create some."""

    def __init__(self, seed: int, rows: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a seeded load
        self._most = rows
        self._next = 1
        self.rows: dict[int, dict[str, Any]] = {}
        for _ in range(rows):
            self._create()

    def _create(self) -> None:
        now = datetime(2026, 1, 1, 0, 0, self._next % 60)  # noqa: DTZ001 - as Tryton's own
        self.rows[self._next] = {"id": self._next, "create_date": now, "write_date": None}
        self._next += 1

    async def answer(
        self,
        method: str,
        domain: list[Any],
        limit: int | None,
    ) -> Any:
        """What one question gives."""
        for _ in range(self._dice.randint(0, 3)):
            gone = self._dice.random() < 0.5 or len(self.rows) > self._most
            if gone and self.rows:
                del self.rows[self._dice.choice(list(self.rows))]
            else:
                self._create()
        rows = [row for _, row in sorted(self.rows.items()) if may_satisfy(row, domain)][:limit]
        return [row["id"] for row in rows] if method == "search" else [dict(row) for row in rows]


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
async def test_ids_are_listed_while_rows_come_and_go(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """The first row and the last one may both go between the listing and the question for them."""
    for seed in range(8):
        erp = BusyErp(seed, rows)

        async def call_model(client: TrytonClient, *params: Any, context: Any = None) -> Any:
            del client, context
            _, method, domain, _, limit, *_ = params
            return await erp.answer(method, domain, limit)  # noqa: B023 - in this round

        monkeypatch.setattr(TrytonClient, "call_model", call_model)
        options = TrytonOptions()
        of = System("kit", "erp", "http://u:p@127.0.0.1:1/db", "x", options, (TableUse(MODEL),), 2)
        client = TrytonClient(of)
        for _ in range(20):
            await PollQueries(client).list_ids(MODEL)
        await client.close()
