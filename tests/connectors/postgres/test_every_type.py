# ruff: noqa: DTZ901 - local times have no zone
"""A value of any type is the same record whoever reads it, and what PostgreSQL's own text says."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.string import TextLoader

from bridge.connector import Ask, Effect, Shape
from bridge.model.errors import RowError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import KEY_TYPES, FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.make_plan import make_plan
from connectors.postgres import connector
from connectors.postgres.capture_dialect import POSTGRES
from connectors.sql.engine import make_engine
from connectors.sql.postgres.session_settings import READ_SETTINGS
from connectors.sql.read.rows import TableShapes
from connectors.sql.write.effect import current_row
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source
from tests.connectors.postgres.type_values import (
    BINARY,
    CREATE_TYPES,
    NEVER_STORED,
    PLAIN,
    TypeValues,
)

if TYPE_CHECKING:
    from bridge.connector import System

ROWS = 15
REFUSED = "refused"
STRING = FieldType("string")


def values_of(tested: TypeValues) -> list[Any]:
    """The same values in each run."""
    drawn: list[Any] = []

    @settings(
        max_examples=4,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(tested.values, min_size=ROWS // 3, max_size=ROWS // 3))
    def take(values: list[Any]) -> None:
        drawn.extend(values)

    take()
    # The first example is of the simplest values.
    return drawn[-ROWS:]


@dataclass(frozen=True, slots=True)
class ColumnUnderTest:
    """One column of the tested table, and how its value is made of two of its type."""

    name: str
    sql: str
    make: str
    #: Declared as text: an array of two dimensions has no field type of its own.
    nested: bool = False


def columns_of(types: Mapping[str, TypeValues]) -> list[ColumnUnderTest]:
    """A type by itself, in arrays, a domain, a range and a multirange."""
    columns = []
    for at, (name, tested) in enumerate(types.items()):
        v, w = f"v.c{at}", f"w.c{at}"
        columns += [
            ColumnUnderTest(f"c{at}", tested.sql, v),
            ColumnUnderTest(f"a{at}", f"{tested.sql}[]", f"ARRAY[{v}, NULL, {w}]"),
            ColumnUnderTest(
                f"n{at}", f"{tested.sql}[]", f"ARRAY[ARRAY[{v}, {w}], ARRAY[{v}, NULL]]", True
            ),
            ColumnUnderTest(f"d{at}", f"d_{at}", v),
        ]
        if tested.ordered and name not in {"numeric(9,3)", "enum"}:
            low_high = f"least({v}, {w}), greatest({v}, {w})"
            multi = f"m_{at}(r_{at}({low_high}, '[]'), r_{at}(NULL, {v}))"
            columns += [
                ColumnUnderTest(f"r{at}", f"r_{at}", f"r_{at}({low_high}, '[]')"),
                ColumnUnderTest(f"m{at}", f"m_{at}", multi),
            ]
    return columns


def create(types: Mapping[str, TypeValues], columns: Sequence[ColumnUnderTest]) -> list[str]:
    """Statements for the table `t` and the values that it is filled from, `s`."""
    statements = [*CREATE_TYPES]
    ranges = {column.sql for column in columns}
    for at, tested in enumerate(types.values()):
        statements.append(f"CREATE DOMAIN d_{at} AS {tested.sql}")
        if f"r_{at}" in ranges:
            subtype = re.sub(r"\(\d+\)", "", tested.sql)
            subtype = "bpchar" if subtype == "char" else subtype
            statements.append(
                f"CREATE TYPE r_{at} AS RANGE (subtype = {subtype}, multirange_type_name = m_{at})"
            )
    plain = ", ".join(f"c{at} {tested.sql}" for at, tested in enumerate(types.values()))
    whole = ", ".join(f"{column.name} {column.sql}" for column in columns)
    return [
        *statements,
        f"CREATE TABLE s (id int, {plain})",
        f"CREATE TABLE t (id int PRIMARY KEY, {whole})",
    ]


def fill(erp: PostgresErp, types: Mapping[str, TypeValues]) -> None:
    values = [values_of(tested) for tested in types.values()]
    expressions = ", ".join(tested.make or f"%s::{tested.sql}" for tested in types.values())
    for number, row in enumerate(zip(*values, strict=True)):
        erp.db.execute(f"INSERT INTO s SELECT {number}, {expressions}", row)


def copy(columns: Sequence[ColumnUnderTest]) -> str:
    expressions = ", ".join(column.make for column in columns)
    return f"INSERT INTO t SELECT v.id, {expressions} FROM s v JOIN s w ON w.id = (v.id + 1) % {ROWS} ORDER BY 1"


Outcome = Any
"""A field's value, or that it is refused."""


class RowForm:
    """One way in which rows came: what its columns become."""

    def __init__(self, described: Shape, shape: Shape, rows: Sequence[Any]) -> None:
        self._described = described
        self._shape = shape
        self._rows = rows

    def outcomes(self, column: str, kind: FieldType | None) -> list[Outcome]:
        """The field's value in each row, made from this column as a field of `kind`."""
        fields = (FieldSpec("id", ("id",)), FieldSpec("c", (column,), type=kind))
        table = self._table(fields, ("id",))
        outcomes = []
        for raw in self._rows:
            try:
                outcomes.append(as_seen(table.row(self._shape, raw)["c"]))
            except RowError as error:
                outcomes.append((REFUSED, error.column))
        return outcomes

    def keys(self, column: str) -> list[Any]:
        """The key's bytes in each row, with this column as the key."""
        table = self._table((FieldSpec("c", (column,)),), ("c",))
        executor = RowEncoder(make_plan(table.spec, table.entity, self._shape), "acme", 1, 2, 1)
        keys: list[Any] = []
        for raw in self._rows:
            try:
                keys += executor.keys([raw])
            except RowError as error:
                keys.append((REFUSED, error.column))
        return keys

    def _table(self, fields: tuple[FieldSpec, ...], key: tuple[str, ...]) -> EntityTable:
        spec = EntitySpec("erp", "thing", "t", key, fields)
        return EntityTable(spec, entity_type(spec, self._described), self._described)


def as_seen(value: Any) -> Any:
    """NaN equal to itself, and floats told from integers."""
    if isinstance(value, list):
        return [as_seen(item) for item in value]
    return repr(value) if isinstance(value, float) else value


async def forms_of(erp: PostgresErp, types: Mapping[str, TypeValues]) -> dict[str, RowForm]:
    """The rows of the table, by every way in which the bridge gets rows."""
    columns = columns_of(types)
    erp.run(*create(types, columns))
    fill(erp, types)
    erp.publish("t")
    system = erp.system("t")
    described = (await connector.describe(system))["t"]
    forms: dict[str, tuple[Shape, list[Any]]] = {}
    async with open_source(system) as (source, begin):
        erp.run(copy(columns))
        changes = await collect(source, ROWS)
        forms["stream"] = changes[0].shape, [change.new for change in changes]
    if types is BINARY:
        assert {change.new[2:3] for change in changes} == {b"b"}
        # A column without binary form turns the stream to text from its beginning.
        erp.run("ALTER TABLE t ADD p pair")
        async with open_source(system, begin) as (source, _):
            changes = await collect(source, ROWS)
        forms["stream of text"] = changes[0].shape, [change.new for change in changes]
    assert {change.new[2:3] for change in changes} == {b"t"}
    snapshot = await connector.snapshot(system)
    chunk = await snapshot.chunk("t", None, None, ROWS)
    await snapshot.close()
    forms["snapshot"] = chunk.shape, list(chunk.rows)
    reader = await connector.reader(system)
    read_rows = await reader.fetch(Ask("t", ("id",), [(number,) for number in range(ROWS)]))
    await reader.close()
    forms["read"] = read_rows.shape, sorted(read_rows.rows, key=lambda row: row[0])
    forms["executor"] = locked(system)
    return {name: RowForm(described, shape, rows) for name, (shape, rows) in forms.items()}


def locked(system: System) -> tuple[Shape, list[Any]]:
    """The rows as an effect's guard sees them."""
    engine = make_engine(system)
    tables = TableShapes(system.tables, POSTGRES)
    rows = []
    with engine.begin() as connection:
        for number in range(ROWS):
            effect = Effect("bot:1", "", "", {}, "t", {"id": number})
            shape, raw = current_row(connection, POSTGRES, tables, effect, lock=True)
            rows.append(raw)
    engine.dispose()
    assert shape is not None
    return shape, rows


class Bytes(TextLoader):
    """A text that may be no UTF-8."""

    def load(self, data: Any) -> Any:
        return bytes(data).decode(errors="backslashreplace")


def texts(erp: PostgresErp, column: str, kind: FieldType) -> list[Any]:
    """What PostgreSQL itself writes: of each value, or of each item where it is an array."""
    expression = f"format('%%s', {column})"
    if kind.name == "array":
        item = f"({column})[k]"
        expression = (
            f"ARRAY(SELECT CASE WHEN {item} IS DISTINCT FROM NULL THEN format('%%s', {item}) END"
            f" FROM generate_subscripts({column}, 1) AS k)"
        )
    with psycopg.connect(erp.url) as db:
        db.adapters.register_loader("text", Bytes)
        for name, value in READ_SETTINGS.items():
            db.execute("SELECT set_config(%s, %s, false)", [name, value])
        text_rows = db.execute(
            f"SELECT {expression.replace('%%', '%')} FROM t ORDER BY id"
        ).fetchall()
    return [value for (value,) in text_rows]


def expected(kind: FieldType, text: Any) -> Any:
    """The field's value of PostgreSQL's text, by other means than the bridge's."""
    if text is None:
        return None
    if kind.name == "array":
        assert kind.item is not None
        items = [expected(kind.item, item) for item in text]
        return REFUSED if REFUSED in items else items
    return as_seen(VALUES[kind.name](text, kind))


def _moment(text: str, kind: FieldType) -> Any:
    zone = UTC if kind.name == "timestamp" else None
    if text.endswith("infinity"):
        return (datetime.min if text[0] == "-" else datetime.max).replace(tzinfo=zone)
    if text.endswith("BC") or not re.match(r"\d{4}-", text):
        return REFUSED
    return datetime.fromisoformat(text)


def _day(text: str, _: FieldType) -> Any:
    if text.endswith("infinity"):
        return date.min if text[0] == "-" else date.max
    return REFUSED if text.endswith("BC") or text.find("-") != 4 else date.fromisoformat(text)


VALUES: dict[str, Callable[[str, FieldType], Any]] = {
    "boolean": lambda text, _: text == "t",
    "integer": lambda text, _: int(text),
    "double": lambda text, _: float(text),
    "float": lambda text, _: struct.unpack("f", struct.pack("f", float(text)))[0],
    "decimal": lambda text, _: (
        REFUSED if text == "NaN" else Decimal(text.replace("$", "").replace(",", ""))
    ),
    "string": lambda text, _: (
        re.sub(r"\\x([89a-f][0-9a-f])$", lambda hit: f"\\{int(hit[1], 16):o}", text)
        if len(text) == 4
        else text
    ),
    "json": lambda text, _: text,
    "bytes": lambda text, _: bytes.fromhex(text[2:]),
    "uuid": lambda text, _: UUID(text),
    "date": _day,
    "time": lambda text, _: REFUSED if text.startswith("24") else time.fromisoformat(text),
    "timestamp": _moment,
    "local_timestamp": _moment,
}


def wrong(
    erp: PostgresErp, forms: Mapping[str, RowForm], types: Mapping[str, TypeValues]
) -> Iterator[str]:
    """Each value that isn't the same in all forms, or isn't what the text says."""
    described = forms["stream"]._described
    kinds = {column.name: column.type for column in described.columns}
    names = list(types)
    for column in columns_of(types):
        column_text = f"{column.name} {column.sql} ({names[int(column.name[1:])]})"
        kind = STRING if column.nested else kinds[column.name]
        by_text = [expected(kind, text) for text in texts(erp, column.name, kind)]
        for declared in (None, STRING) if not column.nested else (STRING,):
            by_form = {name: form.outcomes(column.name, declared) for name, form in forms.items()}
            for name, outcomes in by_form.items():
                for at, outcome in enumerate(outcomes):
                    first = by_form["stream"][at]
                    if outcome != first:
                        yield f"{column_text} as {declared}: {name} {outcome!r}, stream {first!r}"
                    elif (declared is None or column.nested) and outcome != by_text[at]:
                        refused = isinstance(outcome, tuple) and outcome[0] == by_text[at]
                        if not refused:
                            yield f"{column_text}: {name} {outcome!r}, its text {by_text[at]!r}"
        if kind.name in KEY_TYPES and not column.nested:
            keys = {name: form.keys(column.name) for name, form in forms.items()}
            for name, found_keys in keys.items():
                if found_keys != keys["stream"]:
                    yield f"{column_text} as a key: {name} {found_keys!r}, stream {keys['stream']!r}"


@pytest.mark.parametrize("types", [BINARY, PLAIN], ids=["binary", "text"])
async def test_a_value_is_the_same_record_whoever_reads_it(
    erp: PostgresErp, types: Mapping[str, TypeValues]
) -> None:
    forms = await forms_of(erp, types)
    differences = list(wrong(erp, forms, types))
    assert differences == [], "\n".join(differences)


def test_every_type_of_the_catalogue_is_among_them(erp: PostgresErp) -> None:
    erp.run(*CREATE_TYPES)
    names = {
        name
        for (name,) in erp.rows(
            "SELECT typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
            " WHERE n.nspname = 'pg_catalog' AND t.typtype = 'b' AND NOT EXISTS"
            " (SELECT FROM pg_type e WHERE e.typarray = t.oid)"
        )
    }
    assert names - NEVER_STORED <= {*BINARY, *PLAIN}
