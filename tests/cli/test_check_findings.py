"""How findings of sources and of first snapshots become results of a check."""

from typing import Any, cast

from bridge.config import load
from bridge.connector import (
    Capabilities,
    Chunk,
    Connector,
    Finding,
    ReadCheckpoint,
    Shape,
    System,
)
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RetryLater
from bridge.plan.steps import Wire
from bridge.wiring.check.checkpoints import resuming_findings
from bridge.wiring.check.snapshots import snapshot_findings
from tests.cli.bridge_folder import BridgeFolder


async def test_what_a_resumed_source_says_is_an_error_only_where_it_would_stop_it() -> None:
    class Resuming:
        async def check_resuming(self, system: Any, read: ReadCheckpoint) -> list[Finding]:
            assert await read() == b"{}"
            return [Finding("stops", "", fatal=True), Finding("is compared", "", fatal=False)]

    system = System("acme", "erp", "", "", None, ())
    connector = cast("Connector", Resuming())

    async def checkpoint_of(name: str) -> bytes:
        assert name == "erp"
        return b"{}"

    results = [item async for item in resuming_findings(connector, system, checkpoint_of)]
    assert [(item.severity, item.message) for item in results] == [
        ("error", "stops"), ("warning", "is compared")
    ]  # fmt: skip


class Trial:
    """A system whose tables can't be snapshot, each in its way."""

    def __init__(self, answers: dict[str, list[BridgeError | None]]) -> None:
        self.answers = answers
        self.chunk_calls: list[tuple[str, list[str] | None]] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(snapshot=True)

    async def snapshot(self, system: System) -> Any:
        return self

    async def chunk(self, table: str, where: None, after: list[str] | None, limit: int) -> Chunk:
        self.chunk_calls.append((table, after))
        error = self.answers.get(table, [None]).pop(0) if self.answers.get(table) else None
        if error is not None:
            raise error
        shape = Shape(table, (), Wire.PYTHON)
        return Chunk(shape, [], ["after"] if after is None else None)

    async def close(self) -> None: ...


async def test_what_would_keep_a_first_snapshot_from_being_taken_is_an_error(
    bridge_folder: BridgeFolder,
) -> None:
    """Changes would stream, all would look well, and the rows that are there would never come."""
    [config] = load(bridge_folder.config).systems
    away = RetryLater("the service answers 500")
    tables = {entity.name: entity.table for entity in config.spec.entities}
    customers, orders = tables["customer"], tables["sales_order"]
    for answers, words in (
        ({}, None),
        # It may pass, and does.
        ({customers: [away, None]}, None),
        ({customers: [away, away]}, "the first snapshot of erp.customer can't be taken: the serv"),
        # Only behind the first rows: a key that can't be compared.
        (
            {orders: [None, Rejected("bad", "no such operator")]},
            "of erp.sales_order can't be taken",
        ),
        ({orders: [ConfigurationError("no right to read it")]}, "no right to read it"),
    ):
        trial = Trial(cast("dict[str, list[BridgeError | None]]", answers))
        system = System("acme", "erp", "", "", None, ())
        connector = cast("Connector", trial)
        results = [item async for item in snapshot_findings(config, connector, system, ())]
        assert [item.severity for item in results] == ([] if words is None else ["error"])
        assert words is None or words in results[0].message
        assert {table for table, _ in trial.chunk_calls} == set(tables.values())
    results = [item async for item in snapshot_findings(config, connector, system, {orders})]
    assert not results
