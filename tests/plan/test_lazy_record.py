# ruff: noqa: DTZ001 - local times have no zone
"""Lazy records: what agents and the gateway read of event bytes."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.model.avro import change_schema, key_schema, row_schema, schema_text
from bridge.model.errors import ConfigurationError
from bridge.model.event import Event, Unavailable
from bridge.model.framing import header
from bridge.model.types import Entity, Field, parse_type
from bridge.plan.avro_reader import codes
from bridge.plan.lazy_record import Decoder
from tests.example_counts import examples
from tests.plan.test_forms import KINDS

ENTITY = Entity(
    "erp",
    "order",
    ("no", "at"),
    (
        Field("no", parse_type("integer")),
        Field("at", parse_type("timestamp")),
        Field("total", parse_type("decimal(9,2)")),
        Field("tags", parse_type("array(array(string))")),
        Field("note", parse_type("string")),
    ),
)
AT = datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC)
ROW: dict[str, Any] = {
    "no": 7,
    "at": AT,
    "total": Decimal("-1.50"),
    "tags": [["a", None], None, []],
    "note": None,
}


def written(entity: Entity, **parts: Any) -> bytes:
    change = {
        "op": "update",
        "before": None,
        "after": None,
        "unavailable": [],
        "position": "0001-0000000000000010-0000000002",
        "transaction": None,
        "occurred_at": None,
        "captured_at": AT,
        **parts,
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(change_schema(entity)), change)
    return header(2) + out.getvalue()


def decoder(entity: Entity = ENTITY, reader: Entity | None = None) -> Decoder:
    return Decoder(schema_text(change_schema(entity)), reader or entity)


def test_a_change_that_fastavro_wrote_reads_back_field_by_field() -> None:
    value = written(
        ENTITY, before=ROW, after={**ROW, "note": "é"}, transaction="77", occurred_at=AT
    )
    change = decoder().change(value)
    assert (change.op, change.position) == ("update", "0001-0000000000000010-0000000002")
    assert (change.transaction, change.occurred_at, change.captured_at) == ("77", AT, AT)
    assert change.before is not None
    assert change.after is not None
    assert change.before == ROW
    assert change.after.note == "é"
    assert change.after["tags"] == [["a", None], None, []]
    assert change.after != change.before


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_row_reads_back_as_fastavro_wrote_it(
    compiled: ModuleType, interpreted: ModuleType, data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6))
    entity = Entity(
        "erp",
        "order",
        ("k",),
        (
            Field("k", parse_type("integer")),
            *(Field(f"c{at}", parse_type(kind)) for at, (_, kind, _) in enumerate(kinds)),
        ),
    )
    row: dict[str, Any] = {"k": data.draw(st.integers(-(2**63), 2**63 - 1))}
    for at, (code, kind, values) in enumerate(kinds):
        value = data.draw(st.none() | values)
        row[f"c{at}"] = (
            format(value, "f")
            if (code, kind) == ("numeric", "string") and value is not None
            else value
        )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(row_schema(entity)), row)
    encoded = out.getvalue()
    assert decoder(entity).row(encoded).as_dict() == row
    layout = b"".join(codes(field["type"]) for field in row_schema(entity)["fields"])
    spans = []
    for module in (compiled, interpreted):
        offsets: list[int] = []
        spans.append((module.scan(encoded, 0, layout, offsets), offsets))
    assert spans[0] == spans[1]
    assert spans[0][0] == len(encoded)
    for size in range(len(encoded)):
        for module in (compiled, interpreted):
            with pytest.raises(ValueError, match="end too early"):
                module.scan(encoded[:size], 0, layout, [])


@given(
    st.binary(max_size=40),
    st.binary(max_size=4).map(lambda raw: bytes(c % 6 | c & 16 for c in raw) + b"\1"),
)
@settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
def test_garbage_is_read_alike_or_refused_alike(
    compiled: ModuleType, interpreted: ModuleType, data: bytes, layout: bytes
) -> None:
    results: list[Any] = []
    for module in (compiled, interpreted):
        offsets: list[int] = []
        try:
            results.append((module.scan(data, 0, layout, offsets), offsets))
        except ValueError as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_a_field_that_the_source_did_not_send_says_so() -> None:
    change = decoder().change(written(ENTITY, after={**ROW, "total": None}, unavailable=["total"]))
    row = change.after
    assert row is not None
    assert change.unavailable == ("total",)
    for read in (lambda: row.total, lambda: row["total"], lambda: dict(row)):
        with pytest.raises(Unavailable, match=r"did not send 'total'.*ctx\.get"):
            read()
    assert "total" not in row.as_dict()
    assert "total=<unavailable>" in repr(row)
    assert row.no == 7
    assert not hasattr(row, "total")
    assert row != {**ROW, "total": None}


def test_an_unknown_field_names_the_ones_there_are() -> None:
    row = decoder().change(written(ENTITY, after=ROW)).after
    assert row is not None
    with pytest.raises(AttributeError, match=r"no field 'nope'; it has no, at, total, tags, note"):
        _ = row.nope
    with pytest.raises(KeyError, match="no field 'nope'"):
        row["nope"]
    assert row.get("nope", 3) == 3
    assert row.get("no") == 7


def test_a_row_behaves_as_a_mapping_of_its_fields() -> None:
    row = decoder().change(written(ENTITY, after=ROW)).after
    assert row is not None
    assert dict(row) == ROW
    assert {**row} == ROW
    assert list(row) == list(row.keys()) == list(ROW)
    assert len(row) == 5
    assert "no" in row
    assert not isinstance(row, Mapping), (
        "attributes come first; a Mapping's methods would hide fields"
    )
    assert repr(row).startswith("erp.order(no=7, at=datetime")


def test_rows_are_equal_by_their_fields_wherever_they_were_written() -> None:
    row = decoder().change(written(ENTITY, after=ROW)).after
    other = decoder().change(written(ENTITY, before=ROW, transaction="x")).before
    assert row == other
    assert row != decoder().change(written(ENTITY, after={**ROW, "no": 8})).after
    with pytest.raises(TypeError):
        hash(row)


def test_an_old_writer_is_read_by_a_newer_reader_and_the_other_way_round() -> None:
    newer = Entity(
        "erp",
        "order",
        ENTITY.key,
        (ENTITY.fields[4], *ENTITY.fields[:3], Field("added", parse_type("date"))),
    )
    row = (
        Decoder(schema_text(change_schema(ENTITY)), newer).change(written(ENTITY, after=ROW)).after
    )
    assert row is not None
    assert row.as_dict() == {
        "note": None,
        "no": 7,
        "at": AT,
        "total": Decimal("-1.50"),
        "added": None,
    }
    late = {"note": "n", "no": 7, "at": AT, "total": None, "added": date(2024, 1, 1)}
    back = (
        Decoder(schema_text(change_schema(newer)), ENTITY).change(written(newer, after=late)).after
    )
    assert back is not None
    assert back.as_dict() == {"no": 7, "at": AT, "total": None, "tags": None, "note": "n"}


def test_a_key_reads_as_the_fields_own_values() -> None:
    entity = Entity(
        "erp",
        "order",
        ("d", "n", "u", "s", "b", "l"),
        tuple(
            Field(name, parse_type(kind))
            for name, kind in (
                ("s", "string"),
                ("d", "date"),
                ("n", "decimal(9,2)"),
                ("u", "uuid"),
                ("b", "boolean"),
                ("l", "local_timestamp"),
            )
        ),
    )
    out = io.BytesIO()
    key = {
        "d": "2024-02-29",
        "n": "1.50",
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "s": "x",
        "b": True,
        "l": "2024-02-29T10:00:00.000000",
    }
    fastavro.schemaless_writer(out, fastavro.parse_schema(key_schema(entity)), key)
    key_fields = decoder(entity).key(header(1) + out.getvalue())
    assert list(key_fields) == ["d", "n", "u", "s", "b", "l"]
    assert key_fields["d"] == date(2024, 2, 29)
    assert key_fields["n"] == Decimal("1.50")
    assert str(key_fields["u"]) == key["u"]
    assert key_fields["l"] == datetime(2024, 2, 29, 10)
    assert (key_fields["s"], key_fields["b"]) == ("x", True)


def test_blocks_with_a_size_as_other_writers_make_them_are_read() -> None:
    entity = Entity(
        "erp",
        "o",
        ("k",),
        (Field("k", parse_type("integer")), Field("a", parse_type("array(integer)"))),
    )
    # k=1; a: non-null, a block of -2 items with its 4 bytes, then the end.
    data = bytes([2, 2, 3, 8, 2, 10, 2, 12, 0])
    assert decoder(entity).row(data).as_dict() == {"k": 1, "a": [5, 6]}


@pytest.mark.parametrize(
    "value", [b"", b"\0\0\0\0", b"\1\0\0\0\2abc", b"\0\0\0\0\2", b"\0\0\0\0\2\4\2"]
)
def test_bytes_that_are_no_change_are_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"wire format|too early"):
        decoder().change(value)


def test_a_topic_of_another_program_is_refused_by_its_schema() -> None:
    with pytest.raises(ConfigurationError, match="another schema than a change's"):
        Decoder(json.dumps({"type": "record", "name": "X", "fields": []}), ENTITY)
    with pytest.raises(ConfigurationError, match="another schema than a change's"):
        Decoder('"string"', ENTITY)


def test_the_version_of_an_event_is_the_one_of_the_row_that_was_read() -> None:
    change = decoder().change(written(ENTITY, after=ROW))
    event = Event(
        ENTITY.qualified, change.op, {}, None, change.after, (), change.position, None, None,
        change.captured_at, "id", ENTITY,
    )  # fmt: skip
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(row_schema(ENTITY)), ROW)
    read = decoder().row(out.getvalue())
    assert (
        event.version
        == Event(
            ENTITY.qualified, "read", {}, None, read, (), "", None, None, AT, "id", ENTITY
        ).version
    )
