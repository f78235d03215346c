# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""The compiled form, the interpreted form and fastavro say the same, whatever the row."""

import math
import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import Change, SourceTransaction
from bridge.model.canonical import instant_text
from bridge.model.types import Entity, FieldType, parse_type
from bridge.plan.coerce_number import shortest_single
from bridge.plan.murmur2 import partition
from bridge.plan.steps import MISSING, Wire
from tests.example_counts import examples
from tests.plan.plans import (
    CAPTURED,
    Text,
    binary,
    pgcopy,
    pgoutput,
    plan_of,
    read_change,
    read_key,
    shape,
    text,
)

QUICK = settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
LOCALS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    return st.integers(-most, most).map(
        lambda unscaled: Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale))
    )


NUMERICS = st.builds(
    lambda unscaled, scale: Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale)),
    st.integers(-(10**45), 10**45),
    st.integers(0, 60),
) | st.sampled_from([Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity")])
FLOAT32 = st.floats(width=32, allow_nan=False)

#: Wire code, field type and values.
KINDS: list[tuple[str, str, st.SearchStrategy[Any]]] = [
    ("bool", "boolean", st.booleans()),
    ("int2", "integer", st.integers(-(2**15), 2**15 - 1)),
    ("int4", "integer", st.integers(-(2**31), 2**31 - 1)),
    ("int8", "integer", st.integers(-(2**63), 2**63 - 1)),
    ("oid", "integer", st.integers(0, 2**32 - 1)),
    ("float4", "float", FLOAT32),
    ("float4", "double", FLOAT32.map(shortest_single)),
    ("float8", "double", st.floats(allow_nan=False)),
    ("numeric", "decimal(15,2)", decimals(15, 2)),
    ("numeric", "decimal(18,18)", decimals(18, 18)),
    ("numeric", "decimal(18,0)", decimals(18, 0)),
    ("numeric", "decimal(38,10)", decimals(38, 10)),
    ("numeric", "string", NUMERICS),
    ("text", "string", TEXTS),
    ("bytea", "bytes", st.binary(max_size=40)),
    ("json", "json", TEXTS),
    ("jsonb", "json", TEXTS),
    ("date", "date", st.dates()),
    ("time", "time", st.times()),
    ("timestamp", "local_timestamp", LOCALS),
    ("timestamptz", "timestamp", LOCALS.map(lambda at: at.replace(tzinfo=UTC))),
    ("uuid", "uuid", st.uuids()),
    ("array(int4)", "array(integer)", st.lists(st.none() | st.integers(-9, 9), max_size=4)),
    ("array(text)", "array(string)", st.lists(st.none() | TEXTS, max_size=3)),
    (
        "array(numeric)",
        "array(decimal(15,2))",
        st.lists(st.none() | decimals(15, 2), max_size=3),
    ),
]
KEYS = [
    kind
    for kind in KINDS
    if parse_type(kind[1]).name
    in {"boolean", "integer", "decimal", "string", "uuid", "date", "timestamp", "local_timestamp"}
]


def expected(field_type: FieldType, value: Any) -> Any:
    """What fastavro reads of a field."""
    if value is None:
        return None
    if field_type.name == "array":
        assert field_type.item is not None
        return [expected(field_type.item, each) for each in value]
    if field_type.name == "string" and isinstance(value, Decimal):
        return str(text("numeric", value))
    return value


def key_expected(field_type: FieldType, value: Any) -> Any:
    """What fastavro reads of a key field."""
    if isinstance(value, datetime):
        return instant_text(value) if value.tzinfo else value.isoformat(timespec="microseconds")
    if isinstance(value, bool | int):
        return value
    if isinstance(value, Decimal):
        return str(text("numeric", value))
    return str(value)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[str, str, str]], list[st.SearchStrategy[Any]]]:
    """Columns of a table, the first one or two of which are its key."""
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2))
    rest = draw(st.lists(st.sampled_from(KINDS), max_size=6))
    columns = [(f"k{at}", *kind[:2]) for at, kind in enumerate(keys)]
    columns += [(f"c{at}", *kind[:2]) for at, kind in enumerate(rest)]
    return columns, [kind[2] for kind in (*keys, *rest)]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    columns, values = draw(tables())
    keys = sum(name.startswith("k") for name, _, _ in columns)
    row = [draw(value if at < keys else st.none() | value) for at, value in enumerate(values)]
    before = [
        draw(st.just(row[at]) | value if at < keys else st.none() | value)
        for at, value in enumerate(values)
    ]
    away = draw(st.sets(st.integers(keys, max(keys, len(columns) - 1)))) & set(range(len(columns)))
    return {
        "columns": columns,
        "keys": keys,
        "row": row,
        "before": before,
        "away": away,
        "op": draw(st.sampled_from([1, 2, 3])),
        "old": draw(st.sampled_from(["none", "key", "full"])),
        "wire": draw(st.sampled_from(["binary", "text", "python"])),
        "epoch": draw(st.integers(0, 0xFFFF)),
        "index": draw(st.integers(0, 2**38)),
        "commit": draw(st.integers(0, 2**64 - 1)),
        "name": draw(st.none() | TEXTS),
        "at": draw(st.none() | st.integers(0, 2**51)),
        "causation": draw(st.none() | TEXTS),
    }


def raw(case: dict[str, Any], values: list[Any], away: set[int]) -> Any:
    codes = [code for _, code, _ in case["columns"]]
    if case["wire"] == "python":
        return tuple(MISSING if at in away else value for at, value in enumerate(values))
    write = binary if case["wire"] == "binary" else text
    return pgoutput(
        [
            MISSING if at in away else (None if value is None else write(codes[at], value))
            for at, value in enumerate(values)
        ]
    )


def change_of(case: dict[str, Any], source_shape: Any) -> Change:
    old: Any = None
    if case["old"] == "full" and case["op"] != 1:
        old = raw(case, case["before"], set())
    elif case["op"] == 3 or (case["old"] == "key" and case["op"] == 2):
        keys = [value if at < case["keys"] else None for at, value in enumerate(case["before"])]
        old = raw(case, keys, set())
    full = case["old"] == "full" and old is not None
    away = case["away"] if case["op"] == 2 else set()
    new = None if case["op"] == 3 else raw(case, case["row"], away)
    transaction = SourceTransaction(case["name"], case["commit"], case["at"])
    return Change(
        source_shape, case["op"], old, full, new, case["index"], transaction, case["causation"]
    )


@QUICK
@given(case=cases())
def test_both_forms_and_fastavro_agree_on_every_change(
    compiled: ModuleType, interpreted: ModuleType, case: dict[str, Any]
) -> None:
    wire = Wire.PYTHON if case["wire"] == "python" else Wire.PGOUTPUT
    columns = case["columns"]
    names = [name for name, _, _ in columns]
    keys = names[: case["keys"]]
    source_shape = shape(columns, wire, keys)
    entity, plan = plan_of(source_shape)
    change = change_of(case, source_shape)
    outs: list[list[Any]] = []
    for module in (compiled, interpreted):
        out: list[Any] = []
        executor = module.RowEncoder(plan, "acme", 1, 2, 7)
        assert executor.changes([change], case["epoch"], CAPTURED, out) == []
        outs.append(out)
    assert outs[0] == outs[1]
    check(case, entity, change, outs[0])


def check(case: dict[str, Any], entity: Entity, change: Change, out: list[Any]) -> None:
    """What the entries must say, worked out in the plainest way."""
    types = [field.type for field in entity.fields]
    names = [field.name for field in entity.fields]
    keys = list(entity.key)
    full = change.old_full
    before = dict(zip(names, case["before"], strict=True))
    after = dict(zip(names, case["row"], strict=True))
    unsent = [names[at] for at in sorted(case["away"])] if change.op == 2 else []
    for name in unsent:
        after[name] = before[name] if full else None

    def as_fields(row: dict[str, Any]) -> dict[str, Any]:
        return {name: expected(kind, row[name]) for name, kind in zip(names, types, strict=True)}

    def key_of(row: dict[str, Any]) -> dict[str, Any]:
        return {name: key_expected(entity.field(name).type, row[name]) for name in keys}

    wanted: list[tuple[str, dict[str, Any], Any, Any, list[str], int]] = []
    moved = change.op == 2 and change.old is not None and key_of(before) != key_of(after)
    old = as_fields(before) if full else None
    left = [] if full else unsent
    if change.op == 3 or moved:
        wanted.append(("delete", key_of(before), old, None, [], 0))
    if change.op == 1 or moved:
        wanted.append(("create", key_of(after), None, as_fields(after), left, int(moved)))
    elif change.op == 2:
        wanted.append(("update", key_of(after), old, as_fields(after), left, 0))
    entries = iter(out)
    for op, key, old_row, new_row, away, half in wanted:
        entry = next(entries)
        assert read_key(entity, entry[0]) == key
        number = 2 * case["index"] + half
        position = f"{case['epoch']:04X}-{case['commit']:016X}-{number:010X}"
        written = read_change(entity, entry[1])
        assert written == {
            "op": op,
            "before": old_row,
            "after": new_row,
            "unavailable": away,
            "position": position,
            "transaction": case["name"],
            "occurred_at": None if case["at"] is None else moment(case["at"]),
            "captured_at": moment(CAPTURED),
        }
        at = CAPTURED if case["at"] is None else case["at"]
        heads = [
            ("ce_specversion", b"1.0"),
            ("ce_id", f"erp:{position}".encode()),
            ("ce_source", b"/acme/erp"),
            ("ce_type", f"acme.erp.order.{op}".encode()),
            ("ce_time", instant_text(moment(at)).encode()),
            ("content-type", b"application/avro"),
        ]
        if case["causation"] is not None:
            heads.append(("ce_causationid", case["causation"].encode()))
        assert entry[2:] == (heads, CAPTURED // 1000, partition(entry[0], 7))
        if op == "delete":
            assert next(entries) == (entry[0], None, *entry[2:])
    assert list(entries) == []


def moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 10**6, UTC).replace(microsecond=micros % 10**6)


@QUICK
@given(data=st.data())
def test_a_snapshot_row_and_an_event_of_the_same_state_are_equal(
    compiled: ModuleType, interpreted: ModuleType, data: st.DataObject
) -> None:
    columns, strategies = data.draw(tables())
    keys = [name for name, _, _ in columns if name.startswith("k")]
    values = [data.draw(value) for value in strategies]
    codes = [code for _, code, _ in columns]
    rows_read = []
    for wire, rendered in (
        (Wire.PGCOPY, pgcopy([binary(*pair) for pair in zip(codes, values, strict=True)])),
        (Wire.PGOUTPUT, pgoutput([text(*pair) for pair in zip(codes, values, strict=True)])),
        (Wire.PYTHON, tuple(values)),
    ):
        entity, plan = plan_of(shape(columns, wire, keys))
        for module in (compiled, interpreted):
            executor = module.RowEncoder(plan, "acme", 1, 2, 7)
            out: list[Any] = []
            assert executor.rows([rendered], 3, 77, 5, CAPTURED, out) == []
            [entry] = out
            change = read_change(entity, entry[1])
            assert change["op"] == "read"
            assert change["position"] == "0003-000000000000004D-0000000005"
            assert executor.keys([rendered]) == [entry[0]]
            assert executor.row(rendered) in entry[1]
            rows_read.append((entry, change["after"]))
    assert all(other == rows_read[0] for other in rows_read)


@QUICK
@given(st.binary(max_size=60), st.sampled_from(KINDS), st.booleans())
def test_garbage_is_refused_alike_or_read_alike(
    compiled: ModuleType,
    interpreted: ModuleType,
    data: bytes,
    kind: tuple[str, str, Any],
    framed: bool,
) -> None:
    """Bytes that no server sent must not crash the compiled form nor be read differently."""
    source_shape = shape([("id", "int4", "integer"), ("c", kind[0], kind[1])])
    _, plan = plan_of(source_shape)
    row = data
    if framed:
        row = struct.pack(">h", 2) + b"b" + struct.pack(">ii", 4, 7)
        row += b"b" + struct.pack(">i", len(data)) + data
    results = []
    for module in (compiled, interpreted):
        out: list[Any] = []
        change = Change(source_shape, 1, None, False, row, 0, SourceTransaction(None, 1, None))
        failures = module.RowEncoder(plan, "acme", 1, 2, 7).changes([change], 1, CAPTURED, out)
        results.append((out, [(str(each.error), each.kind, each.position) for each in failures]))
    assert results[0] == results[1]
    assert len(results[0][0]) + len(results[0][1]) == 1


@pytest.mark.parametrize(
    ("code", "kind", "data", "wanted"),
    [
        ("date", "date", struct.pack(">i", 2**31 - 1), date.max),
        ("date", "date", struct.pack(">i", -(2**31)), date.min),
        ("timestamp", "local_timestamp", struct.pack(">q", 2**63 - 1), datetime.max),
        ("timestamp", "local_timestamp", struct.pack(">q", -(2**63)), datetime.min),
        (
            "timestamptz",
            "timestamp",
            struct.pack(">q", 2**63 - 1),
            datetime.max.replace(tzinfo=UTC),
        ),
        ("timestamptz", "timestamp", struct.pack(">q", -(2**63)), datetime.min.replace(tzinfo=UTC)),
        ("timestamp", "local_timestamp", Text("infinity"), datetime.max),
        ("timestamptz", "timestamp", Text("-infinity"), datetime.min.replace(tzinfo=UTC)),
        ("date", "date", Text("-infinity"), date.min),
        ("time", "time", struct.pack(">q", 86_399_999_999), time.max),
        ("float8", "double", struct.pack(">d", math.inf), math.inf),
    ],
)
def test_infinities_become_the_extremes_that_are_written_down(
    form: ModuleType, code: str, kind: str, data: Any, wanted: Any
) -> None:
    source_shape = shape([("id", "int4", "integer"), ("c", code, kind)])
    entity, plan = plan_of(source_shape)
    out: list[Any] = []
    change = Change(
        source_shape,
        1,
        None,
        False,
        pgoutput([binary("int4", 1), data]),
        0,
        SourceTransaction(None, 1, None),
    )
    assert form.RowEncoder(plan, "acme", 1, 2, 7).changes([change], 1, CAPTURED, out) == []
    assert read_change(entity, out[0][1])["after"]["c"] == wanted


REFUSED = [
    ("numeric", "decimal(15,2)", binary("numeric", Decimal("NaN")), "NaN"),
    ("numeric", "decimal(15,2)", binary("numeric", Decimal("-Infinity")), "Infinity"),
    ("numeric", "decimal(15,2)", binary("numeric", Decimal("1.005")), "2 digits after"),
    ("numeric", "decimal(3,2)", binary("numeric", Decimal("10.00")), "overflows decimal(3,2)"),
    ("numeric", "decimal(30,2)", binary("numeric", Decimal("1e29")), "overflows decimal(30,2)"),
    ("int8", "boolean", binary("int8", 2), "fit boolean"),
    ("numeric", "integer", binary("numeric", Decimal(2**63)), "64 bits"),
    ("numeric", "integer", binary("numeric", Decimal("1.5")), "fraction"),
    ("numeric", "double", binary("numeric", Decimal("0.12345678901234567891")), "loses digits"),
    ("float8", "float", binary("float8", 0.1234567890123), "loses digits"),
    ("float8", "float", binary("float8", 1e300), "32-bit"),
    ("float8", "decimal(9,2)", binary("float8", 0.125), "2 digits"),
    ("text", "string", b"caf\xe9", "UTF-8"),
    ("text", "string", b"\xed\xa0\x80", "UTF-8"),
    ("jsonb", "json", b"\2{}", "version 2"),
    ("date", "date", struct.pack(">i", 2_921_940), "years 1 to 9999"),
    ("date", "date", struct.pack(">i", -730_120), "years 1 to 9999"),
    ("timestamp", "local_timestamp", struct.pack(">q", 252_455_616_000_000_000), "9999"),
    ("timestamptz", "timestamp", struct.pack(">q", -63_082_281_600_000_001), "9999"),
    ("timestamp", "local_timestamp", Text("0044-03-15 12:00:00 BC"), "9999"),
    ("time", "time", struct.pack(">q", 86_400_000_000), "24:00:00"),
    ("timestamp", "timestamp", struct.pack(">q", 0), "say its `zone`"),
    ("text", "integer", b"12a", "no number"),
    ("text", "uuid", b"12a", "uuid"),
    ("bytea", "string", b"12a", "code_page"),
    ("int4", "integer", b"\0\0\0", "3 bytes that are no int4"),
]


@pytest.mark.parametrize(("code", "kind", "data", "reason"), REFUSED)
def test_what_would_change_a_value_is_an_error_that_names_its_place(
    form: ModuleType, code: str, kind: str, data: Any, reason: str
) -> None:
    from bridge.model.specs import FieldSpec

    source_shape = shape([("id", "int4", "integer"), ("src", code, "string")])
    fields = [FieldSpec("id", ("id",)), FieldSpec("c", ("src",), parse_type(kind))]
    _, plan = plan_of(source_shape, fields)
    out: list[Any] = []
    change = Change(
        source_shape,
        1,
        None,
        False,
        pgoutput([binary("int4", 1), data]),
        0,
        SourceTransaction(None, 1, None),
    )
    [failure] = form.RowEncoder(plan, "acme", 1, 2, 7).changes([change], 1, CAPTURED, out)
    assert out == []
    assert reason in str(failure.error)
    assert "column 'src', field 'c', step '" in str(failure.error)
    assert failure.change is change
    assert failure.kind == "row"
    assert failure.position == "0001-0000000000000001-0000000000"
