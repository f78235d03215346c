"""A row of SQLite is the same record told by the journal, in a snapshot, read, and under the
executor's lock, whatever a program stored in whatever column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bridge.connector import Ask, Effect, Shape, System
from bridge.model.errors import RowError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import KEY_TYPES, FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.make_plan import make_plan
from connectors.journal import connector
from connectors.journal.dialects.sqlite.tables import JOURNALED_SQLITE
from connectors.sql.engine import make_engine
from connectors.sql.read.rows import TableShapes
from connectors.sql.sqlite.connection import BEGIN_OPTION
from connectors.sql.write.effect import current_row

from .conftest import Legacy

TYPES = (
    "", "INTEGER", "INT", "BIGINT", "TEXT", "VARCHAR(10)", "CHAR(5)", "REAL", "DOUBLE", "BLOB",
    "NUMERIC", "DECIMAL(10,2)", "BOOLEAN", "DATE", "DATETIME", "JSON", "UUID", "TEXT COLLATE NOCASE",
)  # fmt: skip
VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([0, 1, -1, 2**53 + 1])
    | st.floats(allow_nan=False)
    | st.sampled_from([1.0, 0.1, -0.0, 1e15, 1e300, 9007199254740993.0])
    | st.text(max_size=10)
    | st.sampled_from(["1", "01", "1.50", "1e3", " 7 ", "true", "2026-01-31", "a\0b", "NaN", "inf"])
    | st.binary(max_size=8)
    | st.sampled_from([b"\xff\xfe", b"text"])
)
ROWS = 60


def rows() -> list[tuple[Any, ...]]:
    """The same in each run."""
    rows: list[tuple[Any, ...]] = []

    @settings(
        max_examples=ROWS,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*[VALUES] * len(TYPES)))
    def take(values: tuple[Any, ...]) -> None:
        rows.append(values)

    take()
    return rows[:ROWS]


class Form:
    """One way in which the rows came."""

    def __init__(self, described: Shape, shape: Shape, raw: Sequence[Any]) -> None:
        self._described = described
        self._shape = shape
        self.raw = raw

    def outcomes(self, column: str, kind: FieldType | None) -> list[Any]:
        """What each row's field of this type becomes, or that it is refused."""
        fields = (FieldSpec("id", ("id",)), FieldSpec("c", (column,), type=kind))
        spec = EntitySpec("erp", "thing", "t", ("id",), fields)
        table = EntityTable(spec, entity_type(spec, self._described), self._described)
        outcomes: list[Any] = []
        for raw in self.raw:
            try:
                value = table.row(self._shape, raw)["c"]
                outcomes.append((type(value), repr(value)))
            except RowError as error:
                outcomes.append(("refused", str(error)))
        return outcomes

    def keys(self, column: str) -> list[Any]:
        """The key's bytes of each row, with this column as the key."""
        spec = EntitySpec("erp", "thing", "t", ("c",), (FieldSpec("c", (column,)),))
        entity = entity_type(spec, self._described)
        executor = RowEncoder(make_plan(spec, entity, self._shape), "acme", 1, 2, 1)
        keys: list[Any] = []
        for raw in self.raw:
            try:
                keys += executor.keys([raw])
            except RowError as error:
                keys.append(("refused", str(error)))
        return keys


def locked(system: System, count: int) -> tuple[Shape, list[Any]]:
    """The rows as an effect's guard sees them."""
    engine = make_engine(system)
    tables = TableShapes(system.tables, JOURNALED_SQLITE)
    guarded_rows = []
    with (
        engine.connect().execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"}) as connection,
        connection.begin(),
    ):
        for number in range(count):
            effect = Effect("bot:1", "", "", {}, "t", {"id": number})
            shape, raw = current_row(connection, JOURNALED_SQLITE, tables, effect, lock=True)
            guarded_rows.append(raw)
    engine.dispose()
    assert shape is not None
    return shape, guarded_rows


async def test_whatever_is_stored_has_one_form_whoever_reads_it(legacy: Legacy) -> None:
    columns = ", ".join(f"c{at} {name}" for at, name in enumerate(TYPES))
    legacy.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
    system = legacy.system("t")
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(None)
    marks = ", ".join("?" * len(TYPES))
    for number, values in enumerate(rows()):
        legacy.db.execute(f"INSERT INTO t VALUES ({number}, {marks})", values)
    # Text that isn't UTF-8, as a program of another code page stores it.
    legacy.run("UPDATE t SET c4 = CAST(x'6dfc' AS TEXT), c5 = CAST(x'ff' AS TEXT) WHERE id = 3")
    changes = (await source.read(10 * ROWS, 0)).changes
    await source.close()
    latest = {change.new[0]: change for change in changes}
    captured_rows = [latest[number].new for number in range(ROWS)]
    described = (await connector.describe(system))["t"]
    snapshot = await connector.snapshot(system)
    chunk = await snapshot.chunk("t", None, None, 10 * ROWS)
    await snapshot.close()
    reader = await connector.reader(system)
    result = await reader.fetch(Ask("t", ("id",), [(number,) for number in range(ROWS)]))
    await reader.close()
    forms = {
        "journal": Form(described, changes[0].shape, captured_rows),
        "snapshot": Form(described, chunk.shape, chunk.rows),
        "read": Form(described, result.shape, sorted(result.rows, key=lambda row: row[0])),
        "executor": Form(described, *locked(system, ROWS)),
    }
    stored = legacy.rows("SELECT count(*) FROM t")
    assert stored == [(ROWS,)]
    for name, form in forms.items():
        described_rows = [[(type(value), repr(value)) for value in row] for row in form.raw]
        assert described_rows == [
            [(type(value), repr(value)) for value in row] for row in forms["journal"].raw
        ], name
    kinds = {column.name: column.type for column in described.columns}
    for at in range(len(TYPES)):
        column = f"c{at}"
        for kind in (None, FieldType("string")):
            first = forms["journal"].outcomes(column, kind)
            for name, form in forms.items():
                assert form.outcomes(column, kind) == first, (column, name)
        if kinds[column].name in KEY_TYPES:
            for name, form in forms.items():
                assert form.keys(column) == forms["journal"].keys(column), (column, name)
