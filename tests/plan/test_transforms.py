# ruff: noqa: DTZ001 - local times have no zone
"""Each transform, inwards through the executor and outwards through `to_source`."""

import hashlib
import hmac
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import Change, SourceTransaction
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import parse_type
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import MISSING, Wire
from bridge.plan.to_source import are_unchanged, lookup_problems, source_converter, to_source
from tests.example_counts import examples
from tests.plan.plans import CAPTURED, Text, pgoutput, plan_of, read_change, shape

KEY = FieldSpec("id", ("id",))


def twice(value: Any) -> Any:
    """What `call` names below."""
    return None if value == 13 else value * 2


def fails(_: Any) -> Any:
    raise RuntimeError("secret 4711")


def leaves(_: Any) -> Any:
    raise SystemExit(0)


def inwards(
    form: ModuleType,
    field: FieldSpec,
    values: tuple[Any, ...],
    kind: str = "string",
    rounds: int = 2,
) -> Any:
    """The field's value for these source values; a RowError as its text. More than once, because
    results of pure transforms are remembered.
    """
    columns = [("id", "python", "integer")]
    columns += [(f"s{at}", "python", kind) for at in range(len(values))]
    source_shape = shape(columns, Wire.PYTHON)
    entity, plan = plan_of(source_shape, [KEY, field])
    executor = form.RowEncoder(plan, "acme", 1, 2, 3, mask_key=b"key")
    field_values: list[Any] = []
    for _ in range(rounds):
        out: list[Any] = []
        failures = executor.changes(
            [
                Change(
                    source_shape, 1, None, False, (1, *values), 0, SourceTransaction(None, 1, None)
                )
            ],
            1,
            CAPTURED,
            out,
        )
        if failures:
            field_values.append(str(failures[0].error))
        else:
            field_values.append(read_change(entity, out[0][1])["after"][field.name])
    assert all(each == field_values[0] for each in field_values)
    return field_values[0]


def spec(**options: Any) -> FieldSpec:
    kind = options.pop("type", None)
    return FieldSpec("f", ("s0",), parse_type(kind) if kind else None, **options)


CASES: list[tuple[FieldSpec, Any, Any]] = [
    (spec(trim=True), "  a b  ", "a b"),
    (spec(trim=True), "   ", ""),
    (spec(zeros=10), "0000004711", "4711"),
    (spec(zeros=10), "0000000000", "0"),
    (spec(zeros=4), "00A1", "00A1"),
    (spec(zeros=3), "123456", "123456"),
    (spec(zeros=4), "", ""),
    (spec(zeros=4, type="integer"), "0012", 12),
    (spec(trim=True, zeros=4), " 0012 ", "12"),
    (spec(map={"A": "open", "C": None, "B": "done"}), "A", "open"),
    (spec(map={"A": "open", "C": None, "B": "done"}), "C", None),
    (spec(trim=True, map={"A": True, "B": False}), "A ", True),
    (spec(map={1: "open", "2": "done"}), 1, "open"),
    (spec(map={"1": 10, "2": 20}), 2, 20),
    (spec(format="%Y%m%d"), "20240229", date(2024, 2, 29)),
    (spec(format="%Y%m%d"), 20240229, date(2024, 2, 29)),
    (spec(format="%Y%m%d"), "00000000", None),
    (spec(format="%Y%m%d"), "        ", None),
    (spec(format="%H%M%S"), "000000", time()),
    (spec(format="%H%M%S"), 93000, time(9, 30)),
    (spec(format="%d.%m.%Y %H:%M"), "31.01.2024 10:30", datetime(2024, 1, 31, 10, 30)),
    (spec(format="%d %b %Y"), "31 Jan 2024", date(2024, 1, 31)),
    (
        spec(format="%Y-%m-%d %H:%M:%S", zone="Europe/Berlin"),
        "2024-07-01 12:00:00",
        datetime(2024, 7, 1, 10, tzinfo=UTC),
    ),
    # The hour that comes twice: the first of the two.
    (
        spec(format="%Y-%m-%d %H:%M:%S", zone="Europe/Berlin"),
        "2024-10-27 02:30:00",
        datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
    ),
    (spec(zone="Europe/Berlin"), "2024-01-01T12:00", datetime(2024, 1, 1, 11, tzinfo=UTC)),
    (spec(unit="0.01", type="decimal(9,2)"), "1234", Decimal("12.34")),
    (spec(mask="drop"), "x", None),
    (spec(mask="hash"), "Jo", hmac.new(b"key", b"Jo", hashlib.sha256).hexdigest()),
    (spec(code_page="cp037"), "ÄB".encode("cp037"), "ÄB"),
    (spec(code_page="cp1252", trim=True, map={"Ä": "a"}), b"\xc4 ", "a"),
    (spec(call="tests.plan.test_transforms:twice", type="integer"), 21, 42),
    (spec(call="tests.plan.test_transforms:twice", type="integer"), 13, None),
]


@pytest.mark.parametrize(("field", "value", "wanted"), CASES, ids=str)
def test_a_transform_gives(form: ModuleType, field: FieldSpec, value: Any, wanted: Any) -> None:
    kind = {int: "integer", bytes: "bytes"}.get(type(value), "string")
    assert inwards(form, field, (value,), kind) == wanted
    assert inwards(form, field, (None,), kind) is None


REFUSED: list[tuple[FieldSpec, Any, str]] = [
    (spec(zeros=10), "4711", "step 'zeros': 4 digits where `zeros` says 10"),
    (spec(map={"A": "open"}), "B", "step 'map': a value that `map` doesn't list: 'B'"),
    (spec(format="%Y%m%d"), "20230229", "no timestamp"),
    (spec(format="%Y%m%d"), "2023-02-01", "isn't written as '%Y%m%d'"),
    (spec(format="%Y%m%d %p"), "x", "isn't written as"),
    (
        spec(format="%Y-%m-%d %H:%M", zone="Europe/Berlin"),
        "2024-03-31 02:30",
        "Europe/Berlin skipped when its clocks changed",
    ),
    (spec(unit="0.01", type="decimal(9,1)"), "1234", "1 digits after the point"),
    (spec(code_page="ascii"), b"\xff", "ascii"),
    (spec(call="tests.plan.test_transforms:fails", type="integer"), 1, "RuntimeError: secret 4711"),
    (spec(call="tests.plan.test_transforms:leaves", type="integer"), 1, "raised SystemExit: 0"),
    (spec(type="integer"), "abc", "'abc'"),
]


@pytest.mark.parametrize(("field", "value", "reason"), REFUSED, ids=str)
def test_a_transform_refuses_what_it_would_change(
    form: ModuleType, field: FieldSpec, value: Any, reason: str
) -> None:
    kind = {int: "integer", bytes: "bytes"}.get(type(value), "string")
    assert reason in inwards(form, field, (value,), kind)


def test_columns_are_joined_into_one_moment(form: ModuleType) -> None:
    field = FieldSpec("f", ("s0", "s1"), format="%Y%m%d%H%M%S", zone="Europe/Berlin")
    assert inwards(form, field, ("20240131", "103000")) == datetime(2024, 1, 31, 9, 30, tzinfo=UTC)
    assert inwards(form, field, ("20240131", None)) is None
    assert inwards(form, field, ("00000000", "000000")) is None
    assert "isn't written as" in inwards(form, field, ("20240131", "10300"))


def test_a_masked_value_shows_in_no_error_and_no_dead_letter(form: ModuleType) -> None:
    field = FieldSpec("f", ("s0",), map={"A": "a"}, mask="hash")
    errors = inwards(form, field, ("Jane Doe",))
    assert "Jane" not in errors
    assert "map" in errors
    source_shape = shape([("id", "int4", "integer"), ("s0", "text", "string")])
    _, plan = plan_of(source_shape, [KEY, field])
    executor = form.RowEncoder(plan, "acme", 1, 2, 3, mask_key=b"key")
    out: list[Any] = []
    change = Change(
        source_shape,
        1,
        None,
        False,
        pgoutput([Text("7"), b"Jane Doe"]),
        0,
        SourceTransaction(None, 1, None),
    )
    [failure] = executor.changes([change], 1, CAPTURED, out)
    assert executor.raw_text(failure.change) == '{"old":null,"new":{"id":"7"}}'
    assert "Jane" not in str(failure.error)


def test_a_call_that_raises_on_a_masked_field_hides_what_it_says(form: ModuleType) -> None:
    field = FieldSpec(
        "f", ("s0",), parse_type("string"), mask="hash", call="tests.plan.test_transforms:fails"
    )
    errors = inwards(form, field, ("Jane Doe",))
    assert "RuntimeError" in errors
    assert "secret" not in errors


def test_a_dropped_field_is_null_even_where_the_source_did_not_send_it(form: ModuleType) -> None:
    source_shape = shape([("id", "python", "integer"), ("s0", "python", "string")], Wire.PYTHON)
    entity, plan = plan_of(source_shape, [KEY, spec(mask="drop")])
    out: list[Any] = []
    change = Change(source_shape, 2, None, False, (1, MISSING), 0, SourceTransaction(None, 1, None))
    assert form.RowEncoder(plan, "acme", 1, 2, 3).changes([change], 1, CAPTURED, out) == []
    assert read_change(entity, out[0][1])["unavailable"] == []


def test_the_same_text_and_number_are_not_taken_for_one_another(form: ModuleType) -> None:
    """Remembered results go by type as well: 1, True and "1" are three values."""
    source_shape = shape([("id", "python", "integer"), ("s0", "python", "string")], Wire.PYTHON)
    entity, plan = plan_of(
        source_shape, [KEY, spec(map={"1": "one", "true": "yes", "1.0": "float"})]
    )
    executor = form.RowEncoder(plan, "acme", 1, 2, 3)
    values = []
    for value in (1, True, "1", 1.0, 1, True):
        out: list[Any] = []
        change = Change(
            source_shape, 1, None, False, (1, value), 0, SourceTransaction(None, 1, None)
        )
        assert executor.changes([change], 1, CAPTURED, out) == []
        values.append(read_change(entity, out[0][1])["after"]["f"])
    assert values == ["one", "yes", "one", "float", "one", "yes"]


# -- configuration -------------------------------------------------------------------------

WRONG: list[tuple[FieldSpec, str]] = [
    (spec(code_page="cp9999"), "code page 'cp9999' is not known"),
    (spec(zone="Europe/Atlantis"), "time zone 'Europe/Atlantis' is not known"),
    (spec(format="yyyy"), "names no part of a date"),
    (spec(call="no.such.module:f", type="string"), "can't be imported"),
    (spec(call="tests.plan.test_transforms:KEY", type="string"), "not a function"),
]


@pytest.mark.parametrize(("field", "reason"), WRONG, ids=str)
def test_a_transform_that_cannot_work_is_a_configuration_error_that_names_the_field(
    form: ModuleType, field: FieldSpec, reason: str
) -> None:
    source_shape = shape([("id", "python", "integer"), ("s0", "python", "string")], Wire.PYTHON)
    with pytest.raises(ConfigurationError, match=r"erp\.order, field 'f'") as caught:
        form.RowEncoder(plan_of(source_shape, [KEY, field])[1], "acme", 1, 2, 3)
    assert reason in str(caught.value)


def test_a_hash_without_a_key_is_refused(form: ModuleType) -> None:
    source_shape = shape([("id", "python", "integer"), ("s0", "python", "string")], Wire.PYTHON)
    with pytest.raises(ConfigurationError, match="mask_key"):
        form.RowEncoder(plan_of(source_shape, [KEY, spec(mask="hash")])[1], "acme", 1, 2, 3)


# -- outwards ------------------------------------------------------------------------------

DIGITS = st.text("0123456789", min_size=1, max_size=8)
INVERTIBLE: list[tuple[FieldSpec, str, st.SearchStrategy[Any]]] = [
    (spec(), "string", st.text(st.characters(exclude_categories=["Cs"]), max_size=10)),
    (
        spec(zeros=8),
        "string",
        DIGITS.map(lambda text: text.zfill(8)) | st.sampled_from(["A01", "00B"]),
    ),
    (spec(zeros=8, type="integer"), "string", DIGITS.map(lambda text: text.zfill(8))),
    (spec(map={"A": "open", "B": True, "C": 3}, type="string"), "string", st.sampled_from("ABC")),
    (spec(map={"1": "open", "2": "done"}), "integer", st.sampled_from([1, 2])),
    (
        spec(code_page="cp037"),
        "bytes",
        st.text("ABCÄÖ 123", max_size=9).map(lambda text: text.encode("cp037")),
    ),
    (spec(trim=True), "string", st.text("ab", max_size=5)),
    (spec(unit="0.25", type="decimal(12,2)"), "integer", st.integers(-(10**6), 10**6)),
    (spec(), "integer", st.integers(-(2**63), 2**63 - 1)),
    (spec(), "decimal(9,2)", st.decimals(-99, 99, places=2)),
    (spec(), "uuid", st.uuids()),
]


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("case", INVERTIBLE, ids=str)
def test_outwards_is_the_inverse_of_inwards(
    interpreted: ModuleType, case: tuple[FieldSpec, str, Any], data: st.DataObject
) -> None:
    field, kind, strategy = case
    value = data.draw(strategy)
    inside = inwards(interpreted, field, (value,), kind, rounds=1)
    source_shape = shape([("id", "python", "integer"), ("s0", "python", kind)], Wire.PYTHON)
    _, plan = plan_of(source_shape, [KEY, field])
    assert to_source(plan, {"f": inside}) == {"s0": value}


ANY_VALUE = st.integers(-(2**64), 2**64) | st.sampled_from(
    [True, 1.0, Decimal(7), "7", "007", "ä", "\ud800", b"7", None, Text("7")]
)
UNCHANGED_OR_NOT = [
    *((field, kind) for field, kind, _ in INVERTIBLE),
    (spec(type="string"), "integer"),
    (spec(type="integer"), "string"),
]


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(ANY_VALUE, max_size=4) | st.lists(st.integers()) | st.lists(st.text("aä")))
@pytest.mark.parametrize("case", UNCHANGED_OR_NOT, ids=str)
def test_values_that_are_taken_as_they_are_would_not_be_changed(
    case: tuple[FieldSpec, str], values: list[Any]
) -> None:
    step = plan_for(case[0], kind=case[1]).steps[1]
    if are_unchanged(step, values):
        turn = source_converter(step, "erp.order")
        assert [(type(turn(each)), turn(each)) for each in values] == [
            (type(each), each) for each in values
        ]


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(value=ANY_VALUE)
@pytest.mark.parametrize("case", UNCHANGED_OR_NOT, ids=str)
def test_a_single_value_is_turned_as_one_of_several_is(
    case: tuple[FieldSpec, str], value: Any
) -> None:
    source_shape = shape([("id", "int4", "integer"), ("s0", "text", case[1])])
    spec = EntitySpec("erp", "order", "public.t", ("id",), (KEY, case[0]))
    table = EntityTable(spec, entity_type(spec, source_shape), source_shape)
    turn = source_converter(plan_for(case[0], kind=case[1]).steps[1], "erp.order")
    try:
        turned = turn(value)
    except Rejected as refusal:
        with pytest.raises(Rejected, match=re.escape(str(refusal))):
            table.outward(("f",), (value,))
    else:
        [outward] = table.outward(("f",), (value,))
        assert (type(outward), outward) == (type(turned), turned)


@pytest.mark.parametrize(
    ("kind", "values", "are_quick"),
    [
        ("integer", [1, -(2**63), 2**63 - 1], True),
        ("integer", [2**63], False),
        ("integer", [-(2**63) - 1], False),
        ("integer", [True], False),
        ("integer", [], False),
        ("string", ["a", ""], True),
        ("string", ["ä"], False),
        ("decimal(9,2)", [1], False),
    ],
)
def test_integers_and_ascii_text_are_quickly_seen_to_stay_as_they_are(
    kind: str, values: list[Any], are_quick: bool
) -> None:
    assert are_unchanged(plan_for(spec(), kind=kind).steps[1], values) == are_quick


def plan_for(*fields: FieldSpec, kind: str = "string") -> Any:
    source_shape = shape([("id", "int4", "integer"), ("s0", "text", kind), ("s1", "text", kind)])
    return plan_of(source_shape, [KEY, *fields])[1]


def test_any_of_several_values_and_null_are_turned_too() -> None:
    plan = plan_for(spec(zeros=4))
    assert to_source(plan, {"f": ["1", "22"], "id": "7"}) == {"s0": ["0001", "0022"], "id": 7}
    assert to_source(plan, {"f": None}) == {"s0": None}


def test_an_instant_is_asked_for_in_the_local_time_of_its_zone() -> None:
    plan = plan_for(spec(zone="Europe/Berlin"), kind="local_timestamp")
    source_values = to_source(plan, {"f": "2024-07-01T10:00:00Z"})
    assert source_values == {"s0": datetime(2024, 7, 1, 12)}


def test_a_date_written_as_text_is_asked_for_as_that_text() -> None:
    assert to_source(plan_for(spec(format="%Y%m%d")), {"f": "2024-01-31"}) == {"s0": "20240131"}


@pytest.mark.parametrize(
    ("field", "values", "reason"),
    [
        (spec(), {"nope": 1}, "has no field 'nope'; it has id, f"),
        (spec(map={"A": "open"}), {"f": "shut"}, "not a value of its `map` (open): 'shut'"),
        (spec(type="integer"), {"f": "x"}, "field 'f'"),
        (spec(mask="hash"), {"f": "x"}, "`mask`"),
        (spec(call="a:b", type="string"), {"f": "x"}, "`call`"),
        (FieldSpec("f", ("s0", "s1"), format="%Y%m%d"), {"f": "x"}, "one column"),
    ],
)
def test_what_cannot_be_asked_for_is_rejected_by_name(
    field: FieldSpec, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Rejected) as caught:
        to_source(plan_for(field), values)
    assert caught.value.code == "bad_key"
    assert reason in str(caught.value)


def test_lookups_by_fields_that_lead_nowhere_are_found_before_anything_runs() -> None:
    from bridge.model.types import Relation

    order = EntitySpec(
        "erp",
        "order",
        "t",
        ("order_no",),
        (
            FieldSpec("order_no", ("a",), mask="hash"),
            FieldSpec("customer", ("b",), map={"1": "x", "2": "x"}),
            FieldSpec("day", ("c",), format="%Y%m%d"),
            FieldSpec("fine", ("d",), zeros=10, trim=True, code_page="cp037"),
        ),
        (
            Relation("customer", "customer", from_field="customer"),
            Relation("fine", "other", from_field=("fine", "customer")),
        ),
    )
    by_two = Relation("orders", "order", by=("fine", "day"))
    plant = EntitySpec("erp", "plant", "p", relations=(by_two,))
    problems = lookup_problems(order, [order, plant])
    assert len(problems) == 3
    assert "'order_no' is used in the key" in problems[0]
    assert "`mask: hash` can't be undone" in problems[0]
    assert "makes 'x' of several values" in problems[1]
    assert "relation 'orders' of erp.plant" in problems[2]


def test_entity_type_and_plan_agree_on_what_a_transform_becomes() -> None:
    source_shape = shape(
        [("id", "int4", "integer"), ("n", "int4", "integer"), ("p", "numeric", "decimal(9,2)")]
    )
    fields = (
        KEY,
        FieldSpec("cents", ("n",), unit="0.01"),
        FieldSpec("grams", ("p",), unit="1000"),
        FieldSpec("flag", ("n",), map={"1": True, "0": False}),
        FieldSpec("at", ("n",), format="%Y%m%d%H%M"),
        FieldSpec("with_offset", ("n",), format="%Y%m%d%H%M%z"),
        FieldSpec("hashed", ("n",), mask="hash"),
    )
    spec = EntitySpec("erp", "order", "public.t", (), fields)
    entity = entity_type(spec, source_shape)
    assert [str(field.type) for field in entity.fields] == [
        "integer",
        "decimal(21,2)",
        "decimal(13,2)",
        "boolean",
        "local_timestamp",
        "timestamp",
        "string",
    ]
    assert [step.target for step in make_plan(spec, entity, source_shape).steps] == [
        field.type for field in entity.fields
    ]
