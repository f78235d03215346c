"""Values of every Edm type: what they are in a row, in a URL and in a body."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import TableUse
from bridge.model.errors import Rejected, RowError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import FieldType
from bridge.plan.coerce import coercer
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from connectors.odata.metadata.document import parse_metadata
from connectors.odata.metadata.field_types import field_type
from connectors.odata.metadata.model import Property, Version
from connectors.odata.protocol.entity_table import build_table
from connectors.odata.protocol.literal import literal, payload
from connectors.odata.protocol.property_values import row_value
from tests.connectors.odata.things_service import FINE, document

AT = datetime(2024, 1, 31, 10, 30, 0, 123456, tzinfo=UTC)
LOCAL = AT.replace(tzinfo=None)
GUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


def prop(edm: str, **more: Any) -> Property:
    return Property("p", edm, **more)


@pytest.mark.parametrize(
    ("p", "version", "kind"),
    [
        (prop("Edm.Decimal", precision=15, scale=2), "v4", "decimal(15,2)"),
        (prop("Edm.Decimal", precision=15), "v4", "decimal(15,0)"),
        (prop("Edm.Decimal", precision=15), "v2", "string"),
        (prop("Edm.Decimal"), "v4", "string"),
        (prop("Edm.Decimal", precision=15, scale=-1), "v4", "string"),
        (prop("Edm.Decimal", precision=2, scale=5), "v4", "string"),
        (prop("Edm.Int64"), "v2", "integer"),
        (prop("Edm.Byte"), "v4", "integer"),
        (prop("Edm.Single"), "v4", "float"),
        (prop("Edm.Double"), "v4", "double"),
        (prop("Edm.String", enum="N.Color"), "v4", "string"),
        (prop("Edm.Guid"), "v4", "uuid"),
        (prop("Edm.Binary"), "v4", "bytes"),
        (prop("Edm.Date"), "v4", "date"),
        (prop("Edm.DateTime"), "v2", "local_timestamp"),
        (prop("Edm.DateTime", date_only=True), "v2", "date"),
        (prop("Edm.DateTimeOffset"), "v2", "timestamp"),
        (prop("Edm.Time"), "v2", "time"),
        (prop("Edm.TimeOfDay"), "v4", "time"),
        (prop("Edm.Duration"), "v4", "string"),
    ],
)
def test_every_type_has_its_field_type(p: Property, version: Version, kind: str) -> None:
    assert str(field_type(p, version)) == kind


@pytest.mark.parametrize("edm", ["Edm.Stream", "Edm.GeographyPoint", "N.Unknown", "Edm.Untyped"])
def test_a_type_that_the_log_does_not_know_has_none(edm: str) -> None:
    assert field_type(prop(edm), "v4") is None
    assert field_type(prop("Edm.String", collection=True), "v4") is None


@pytest.mark.parametrize(
    ("p", "json", "row"),
    [
        (prop("Edm.Boolean"), True, True),
        (prop("Edm.Int64"), "9223372036854775807", 2**63 - 1),
        (prop("Edm.Int32"), 7, 7),
        (prop("Edm.Decimal"), Decimal("1.50"), Decimal("1.50")),
        (prop("Edm.Decimal"), "12.5000", Decimal("12.5000")),
        (prop("Edm.Decimal"), 3, Decimal(3)),
        (prop("Edm.Double"), "1.5E0", 1.5),
        (prop("Edm.Double"), Decimal("0.1"), 0.1),
        (prop("Edm.Double"), "-INF", -math.inf),
        (prop("Edm.String"), "2024-01-31", "2024-01-31"),
        (prop("Edm.Guid"), GUID.upper(), GUID),
        (prop("Edm.Binary"), "-_8", b"\xfb\xff"),
        (prop("Edm.Binary"), "+/8=", b"\xfb\xff"),
        (prop("Edm.Date"), "2024-01-31", date(2024, 1, 31)),
        (prop("Edm.DateTimeOffset"), "2024-01-31T10:30:00.1234560Z", AT),
        (prop("Edm.DateTimeOffset"), "2024-01-31T12:30:00.123456+02:00", AT),
        (prop("Edm.DateTimeOffset"), "/Date(1706697000000)/", AT.replace(microsecond=0)),
        (prop("Edm.DateTimeOffset"), "/Date(1706697000000+0000)/", AT.replace(microsecond=0)),
        (prop("Edm.DateTimeOffset"), "/Date(1706704200000+0120)/", AT.replace(microsecond=0)),
        (prop("Edm.DateTimeOffset"), "/Date(1706693400000-60)/", AT.replace(microsecond=0)),
        (prop("Edm.DateTime"), "/Date(1706697000123)/", LOCAL.replace(microsecond=123000)),
        (prop("Edm.DateTime"), "/Date(-1000)/", datetime(1969, 12, 31, 23, 59, 59)),  # noqa: DTZ001
        (prop("Edm.DateTime"), "2024-01-31T10:30:00.123456", LOCAL),
        (prop("Edm.DateTime", date_only=True), "/Date(1706659200000)/", date(2024, 1, 31)),
        (prop("Edm.TimeOfDay"), "10:30:00.123456000", LOCAL.time()),
        (prop("Edm.Time"), "PT10H30M0.123456S", LOCAL.time()),
        (prop("Edm.Time"), "PT0S", time()),
        (prop("Edm.Duration"), "P1DT2H", "P1DT2H"),
    ],
)
def test_values_of_both_versions_are_read_exactly(p: Property, json: Any, row: Any) -> None:
    versions: tuple[Version, ...] = ("v2", "v4")
    for version in versions:
        read = row_value(p, version, json)
        assert (type(read), read) == (type(row), row)
        assert row_value(p, version, None) is None


@pytest.mark.parametrize(
    ("edm", "json"),
    [
        ("Edm.DateTimeOffset", "2024-01-31T10:30:00.1234567Z"),
        ("Edm.DateTimeOffset", "2024-01-31T10:30:00"),
        ("Edm.DateTimeOffset", "yesterday"),
        ("Edm.Time", "PT24H"),
        ("Edm.Time", "PT"),
        ("Edm.Int32", "seven"),
        ("Edm.Decimal", "seven"),
        ("Edm.Double", "seven"),
        ("Edm.Binary", "\u00e9"),
        ("Edm.Date", {"year": 2024}),
        ("Edm.TimeOfDay", "10:30:00.1234567"),
    ],
)
def test_what_is_not_of_its_type_is_handed_on_for_the_plan_to_refuse(edm: str, json: Any) -> None:
    p = prop(edm, precision=9, scale=2)
    assert row_value(p, "v4", json) == json


def test_a_moment_finer_than_microseconds_is_not_cut() -> None:
    """The plan refuses it, or the log would hold another moment than the service."""
    p = prop("Edm.DateTimeOffset")
    kind = field_type(p, "v4")
    assert kind is not None
    with pytest.raises(Exception, match="finer than microseconds"):
        coercer(kind)(row_value(p, "v4", "2024-01-31T10:30:00.1234567Z"))


@pytest.mark.parametrize(
    ("p", "row", "v4", "v2"),
    [
        (prop("Edm.String"), "O'Neil", "'O''Neil'", "'O''Neil'"),
        (prop("Edm.Boolean"), False, "false", "false"),
        (prop("Edm.Int32"), 7, "7", "7"),
        (prop("Edm.Int64"), 7, "7", "7L"),
        (prop("Edm.Decimal"), Decimal("1E+3"), "1000", "1000M"),
        (prop("Edm.Decimal"), "1.50", "1.50", "1.50M"),
        (prop("Edm.Double"), 1.5, "1.5", "1.5d"),
        (prop("Edm.Single"), 1.5, "1.5", "1.5f"),
        (prop("Edm.Guid"), GUID.upper(), GUID, f"guid'{GUID}'"),
        (prop("Edm.Binary"), b"\xfb\xff", "binary'-_8='", "X'FBFF'"),
        (prop("Edm.Date"), date(2024, 1, 31), "2024-01-31", "2024-01-31"),
        (
            prop("Edm.DateTimeOffset"),
            AT,
            "2024-01-31T10:30:00.123456Z",
            "datetimeoffset'2024-01-31T10:30:00.123456Z'",
        ),
        (
            prop("Edm.DateTime"),
            LOCAL.replace(microsecond=120000),
            "2024-01-31T10:30:00.120Z",
            "datetime'2024-01-31T10:30:00.120'",
        ),
        (
            prop("Edm.DateTime", date_only=True),
            date(2024, 1, 31),
            "2024-01-31T00:00:00Z",
            "datetime'2024-01-31T00:00:00'",
        ),
        (prop("Edm.TimeOfDay"), time(10, 30), "10:30:00", "time'PT10H30M0S'"),
        (prop("Edm.Time"), time(10, 30, 0, 500000), "10:30:00.500", "time'PT10H30M0.5S'"),
        (prop("Edm.Duration"), "P1D", "duration'P1D'", "'P1D'"),
        (prop("Edm.String", enum="N.Color"), "Red", "N.Color'Red'", "'Red'"),
        (prop("Edm.String"), None, "null", "null"),
    ],
)
def test_values_are_written_as_literals_of_each_version(
    p: Property, row: Any, v4: str, v2: str
) -> None:
    assert literal(p, "v4", row) == v4
    assert literal(p, "v2", row) == v2


@pytest.mark.parametrize(
    ("edm", "bad"),
    [
        ("Edm.Int32", "seven"),
        ("Edm.Int32", 1.5),
        ("Edm.Guid", "x' or 1 eq 1"),
        ("Edm.Boolean", "maybe"),
        ("Edm.Date", "31.1.2024"),
        ("Edm.DateTimeOffset", LOCAL),
        ("Edm.String", 7),
        ("Edm.Decimal", "1) or (1 eq 1"),
        ("Edm.Decimal", "NaN"),
        ("Edm.Binary", "text"),
        ("Edm.Stream", "x"),
    ],
)
def test_what_is_no_value_of_the_type_never_reaches_a_url(edm: str, bad: Any) -> None:
    with pytest.raises(Rejected, match="property 'p'") as refused:
        literal(prop(edm), "v4", bad)
    assert refused.value.code == "bad_key"
    with pytest.raises(Rejected) as refused:
        payload(prop(edm), "v2", bad)
    assert refused.value.code == "bad_value"


def test_v2_bodies_hold_milliseconds_and_refuse_what_is_finer() -> None:
    p = prop("Edm.DateTime")
    assert payload(p, "v2", LOCAL.replace(microsecond=0)) == "/Date(1706697000000)/"
    with pytest.raises(Rejected, match="milliseconds"):
        payload(p, "v2", LOCAL)


VALUES: list[tuple[Property, st.SearchStrategy[Any]]] = [
    (prop("Edm.Int64"), st.integers(-(2**63), 2**63 - 1)),
    (prop("Edm.Boolean"), st.booleans()),
    (prop("Edm.Decimal"), st.decimals(allow_nan=False, allow_infinity=False, places=5)),
    (prop("Edm.Double"), st.floats(allow_nan=False)),
    (prop("Edm.String"), st.text()),
    (prop("Edm.Binary"), st.binary()),
    (prop("Edm.Guid"), st.uuids().map(str)),
]
V4_ONLY: list[tuple[Property, st.SearchStrategy[Any]]] = [
    (prop("Edm.Date"), st.dates()),
    (prop("Edm.DateTimeOffset"), st.datetimes(timezones=st.just(UTC))),
    (prop("Edm.TimeOfDay"), st.times()),
]


@given(st.data())
def test_what_is_written_to_a_body_is_read_back_the_same(data: st.DataObject) -> None:
    version: Version = data.draw(st.sampled_from(["v4", "v2"]))
    p, values = data.draw(st.sampled_from(VALUES + (V4_ONLY if version == "v4" else [])))
    row = data.draw(values)
    assert row_value(p, version, payload(p, version, row)) == row


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T10:00:00.1234560Z", datetime(2026, 5, 1, 10, 0, 0, 123456, UTC)),
        ("2026-05-01T10:00:00.1234567Z", "2026-05-01T10:00:00.1234567Z"),
        ("2026-05-01T12:00:00.0000001+02:00", "2026-05-01T10:00:00.0000001Z"),
    ],
)
def test_seven_digits_of_a_second_are_kept(text: str, expected: Any) -> None:
    p = Property("at", "Edm.DateTimeOffset", precision=7)
    timestamp = row_value(p, "v4", text)
    assert timestamp == expected
    assert row_value(p, "v4", payload(p, "v4", timestamp)) == expected, "a command writes it back"
    assert datetime.fromisoformat(literal(p, "v4", timestamp)) == datetime.fromisoformat(text)


@pytest.mark.parametrize("declared", [True, False])
def test_a_finer_time_is_a_text_where_that_is_declared_and_else_refused(*, declared: bool) -> None:
    table = build_table(parse_metadata(document(FINE)), TableUse("Things"))
    at = FieldSpec("at", ("at",), FieldType("string") if declared else None)
    spec = EntitySpec("erp", "thing", "Things", fields=(FieldSpec("id", ("id",)), at))
    entity = EntityTable(spec, entity_type(spec, table.shape), table.shape)
    raw = table.row({"id": "a", "at": "2026-05-01T10:00:00.1234567Z"})
    if declared:
        assert entity.row(table.shape, raw)["at"] == "2026-05-01T10:00:00.1234567Z"
    else:
        with pytest.raises(RowError, match="declare `type: string`, which keeps its digits"):
            entity.row(table.shape, raw)
