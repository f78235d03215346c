"""The suite itself, proven on the weakest source: change times, no order, no feed of deletes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bridge.connector import Connector, System
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
from bridge.kit.connector.follower import Follower, check_promise
from bridge.kit.connector.random_load import RandomLoad
from bridge.kit.connector.stream import streaming
from tests.connectors.polled import fake
from tests.connectors.polled.store import JsonStore, StoreTable

# Its many short tests take longer than most files: it begins first.
pytestmark = pytest.mark.slow

TYPES = [
    TypeCase("integer", "7", "integer", 7),
    TypeCase("string", "Münze", "string", "Münze"),
    TypeCase("decimal(15,2)", "12.50", "decimal(15,2)", Decimal("12.50")),
]


class FileLegacy:
    """The legacy program over a store's file."""

    build = "tests.connectors.polled.fake:connector"
    connector: Connector = fake.connector
    table = "kit_orders"
    types: Sequence[TypeCase] = TYPES
    limitations: frozenset[Limitation] = frozenset({"rollback"})
    key = KEY

    def __init__(self, path: Path) -> None:
        self._store = JsonStore(path)

    def system(self, *tables: str) -> System:
        return fake.system(self._store.path, tables or (self.table,))

    def start(self) -> None:
        kinds = ("string", "string", "integer", "decimal(15,2)")
        with self._store.transaction() as tables:
            tables[self.table] = StoreTable(KEY, dict(zip(COLUMNS, kinds, strict=True)), {})

    def apply(self, *operations: Operation, commit: bool = True) -> None:
        assert commit
        with self._store.transaction() as tables:
            for operation in operations:
                self._apply(tables[self.table], operation)

    def _apply(self, table: StoreTable, operation: Operation) -> None:
        if isinstance(operation, Create):
            self._store.put(table, dict(operation.row))
        elif isinstance(operation, Update):
            self._store.put(table, {KEY: operation.key, **operation.values})
        elif isinstance(operation, Delete):
            del table.rows[operation.key]
        elif isinstance(operation, Rekey):
            row = table.rows.pop(operation.key)
            self._store.put(table, row | {KEY: operation.new})

    def rows(self) -> list[dict[str, Any]]:
        stored_rows = self._store.tables()[self.table].rows
        return [
            {name: _value(name, row[name]) for name in COLUMNS}
            for _, row in sorted(stored_rows.items())
        ]

    def typed(self, name: str, cases: Sequence[TypeCase]) -> None:
        columns = {"id": "integer"} | {f"c{at}": case.native for at, case in enumerate(cases)}
        with self._store.transaction() as tables:
            tables[name] = StoreTable("id", columns, {})

    def fill(self, name: str, cases: Sequence[TypeCase]) -> None:
        row = {"id": 1} | {
            f"c{at}": int(case.literal) if case.native == "integer" else case.literal
            for at, case in enumerate(cases)
        }
        with self._store.transaction() as tables:
            self._store.put(tables[name], row)

    def set_qty(self) -> str:
        return ""


def _value(name: str, value: Any) -> Any:
    return Decimal(value) if name == "price" and value is not None else value


class TestPolled(ConnectorSuite):
    connector = fake.connector
    limitations = FileLegacy.limitations

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> FileLegacy:
        return FileLegacy(tmp_path / "erp.json")


A, B, C = ({"n": number} for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("emitted", "is_kept"),
    [
        ([A, B, C, None], True),
        ([B, None], True),
        ([B, B, None], True),
        ([], True),
        ([B, C], False),
        ([C, B, None], False),
        ([{"n": 4}, None], False),
    ],
)
def test_the_promise_is_a_part_of_the_true_states_in_order_with_the_last(
    emitted: list[Any],
    is_kept: bool,
) -> None:
    truth: dict[Any, Any] = {("k",): [None, A, B, C, None]}
    if is_kept:
        check_promise({("k",): emitted}, truth)
        return
    with pytest.raises(pytest.fail.Exception if emitted[-1] is None else AssertionError):
        check_promise({("k",): emitted}, truth)


class ForgetsTheOverlap(fake.PollingSource):
    """Polls only after the newest time that it saw: late commits are lost."""

    def _poll(self, limit: int) -> list[Any]:
        changes = super()._poll(limit)
        return [change for change in changes if not self._late(change)]

    def _late(self, change: Any) -> bool:
        newest = max(self.__dict__.setdefault("_newest", [0]))
        self.__dict__["_newest"] = [max(newest, change.transaction.committed_at)]
        return bool(change.transaction.committed_at < newest)


class Careless(fake.PolledConnector):
    async def source(self, system: System) -> Any:
        return ForgetsTheOverlap(system)


async def test_the_suite_finds_a_source_that_loses_late_commits(tmp_path: Path) -> None:
    legacy = FileLegacy(tmp_path / "erp.json")
    legacy.connector = Careless()
    legacy.start()
    load = RandomLoad(seed=21)
    async with streaming(legacy) as stream:
        follower = Follower(stream, legacy)
        for _ in range(100):
            legacy.apply(*load.operations(2))
            await follower.read()
        with pytest.raises(pytest.fail.Exception, match="rows are missing"):
            await follower.until_equal(1.0)
