"""A table that was replaced is compared once the stream has told everything of before."""

from __future__ import annotations

from typing import Any, cast

from bridge.connector import Stale, System, TableUse
from connectors.postgres.capture.slot import Binding
from connectors.postgres.capture.table_bindings import TableBindings
from connectors.postgres.catalog.tables import Connection
from connectors.postgres.options import PostgresOptions


class WalEndCursor:
    async def fetchall(self) -> list[tuple[str]]:
        return [("0/64",)]


class WalEndConnection:
    """Tells where the WAL ends."""

    async def execute(self, *_: Any) -> WalEndCursor:
        return WalEndCursor()


async def test_what_the_stream_tells_until_then_is_of_the_table_of_before() -> None:
    system = System("b", "erp", "", "", PostgresOptions(), (TableUse("t"),))
    bindings = TableBindings(system, cast("Connection", WalEndConnection()))
    before, now = Binding(1, 7), Binding(2, 8)
    bindings.resume({"t": before})
    await bindings._add({"t": (now, "swapped")})
    assert bindings.passed(0x63) == []
    assert (bindings.waits, bindings.current) == (True, {"t": before})
    # Looked at once more before that, it is not put off.
    await bindings._add({"t": (now, "swapped")})
    assert bindings.passed(0x64) == [Stale(("t",), "swapped")]
    assert (bindings.waits, bindings.current) == (False, {"t": now})
    assert bindings.text == '{"t":[2,8]}'
