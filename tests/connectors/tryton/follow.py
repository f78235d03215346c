"""What a source emits, followed until something holds; and what users do in the ERP meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.connector import DELETE, Batch, Change, Stale, System, TableUse
from connectors.tryton.capture.source import TrytonSource
from tests.connectors.tryton.erp import system
from tests.connectors.tryton.kit_system import capturer
from tests.http_proxy import CannedResponse, ForwardedRequest
from tests.services.tryton import Tryton
from tests.waiting import until

ORDER, SWITCHED = TableUse("kit.order"), TableUse("kit.switched")
OPTIONS = {"poll": 0.05, "overlap": 60, "overlap_interval": 0}
PATIENCE = 90.0


def erp(tryton: Tryton, *uses: TableUse, user: str = "", **options: Any) -> System:
    """A system over these models, as the bridge's own user."""
    url = tryton.url_of(user or capturer(tryton))
    return system(url, tables=uses or (ORDER,), options=OPTIONS | options)


class Follow:
    """What a source tells, by model and id."""

    def __init__(self, source: TrytonSource, checkpoint: bytes) -> None:
        self.source = source
        self.checkpoint = checkpoint
        self.changes: list[Change] = []
        self.stale: list[Stale] = []
        self.troubles: Mapping[str, str] = {}

    async def read(self, limit: int = 100) -> Batch:
        batch = await self.source.read(limit, 0.1)
        self.checkpoint = batch.checkpoint
        self.changes += batch.changes
        self.stale += batch.stale
        self.troubles = batch.troubles
        return batch

    async def until(self, condition: Callable[[], Any]) -> None:
        async def read_until_it_holds() -> Any:
            holds = condition()
            if not holds:
                await self.read()
            return holds

        await until(
            read_until_it_holds,
            PATIENCE,
            describe=lambda: (self.emitted(), self.stale, self.troubles),
        )

    async def caught_up(self) -> None:
        """Whatever is there now is told."""
        wanted = (await self.read()).polls + 2
        while (await self.read()).polls < wanted:
            pass

    def emitted(self) -> list[tuple[int, str, int]]:
        """Op, model and id of each change."""
        return [
            (change.op, change.shape.table, (change.old if change.op == DELETE else change.new)[0])
            for change in self.changes
        ]

    def last(self, key: int, column: str) -> Any:
        """A value as it was told last."""
        change = next(
            item for item in reversed(self.changes) if item.op != DELETE and item.new[0] == key
        )
        names = [item.name for item in change.shape.columns]
        return change.new[names.index(column)]


@asynccontextmanager
async def following(of: System, after: bytes | None = None) -> AsyncIterator[Follow]:
    source = TrytonSource(of)
    try:
        yield Follow(source, await source.open(after))
    finally:
        await source.close()


def run(tryton: Tryton, statement: str, *values: Any) -> None:
    """Into the ERP's database, past the ERP."""
    tryton.store.run(statement, *values)


def stamp(**ago: float) -> str:
    """As the ERP's database holds times."""
    return (datetime.now(UTC) - timedelta(**ago)).replace(tzinfo=None).isoformat(" ")


def order(tryton: Tryton, **values: Any) -> int:
    return tryton.rpc.create("kit.order", {"order_no": "x", **values})


def write(tryton: Tryton, key: int, model: str = "kit.order", **values: Any) -> None:
    tryton.rpc.call(f"model.{model}.write", [key], values)


def delete(tryton: Tryton, *keys: int, model: str = "kit.order") -> None:
    tryton.rpc.call(f"model.{model}.delete", list(keys))


def refusing(request: ForwardedRequest) -> CannedResponse | None:
    """What stands before the ERP refuses all that is about one model."""
    return CannedResponse(403) if b"model.kit.order." in request.body else None
