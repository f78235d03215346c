"""Entity types and plans out of declarations and shapes."""

import pytest

from bridge.connector import Column, Shape
from bridge.model.errors import ConfigurationError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import FieldType, Relation, parse_type
from bridge.plan.entity_type import entity_type, field_name
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import MISSING, Wire
from tests.plan.plans import shape

TABLE = shape(
    [
        ("ID", "int4", "integer"),
        ("Name", "text", "string"),
        ("amt", "numeric", "decimal(9,2)"),
    ],
    key=("ID",),
)


def spec(*fields: FieldSpec, **options: object) -> EntitySpec:
    return EntitySpec("erp", "order", "public.t", fields=fields, **options)  # type: ignore[arg-type]


def test_without_declaration_every_column_is_a_field_of_its_catalogue_type() -> None:
    entity = entity_type(spec(), TABLE)
    assert entity.key == ("id",)
    assert [(field.name, str(field.type)) for field in entity.fields] == [
        ("id", "integer"),
        ("name", "string"),
        ("amt", "decimal(9,2)"),
    ]


@pytest.mark.parametrize(
    ("column", "field"),
    [("Order No", "order_no"), ("ÄRGER", "c__rger"), ("1st", "c_1st"), ("/BIC/X", "c__bic_x")],
)
def test_a_column_that_is_no_valid_name_becomes_one(column: str, field: str) -> None:
    assert field_name(column) == field


def test_declared_fields_rename_retype_and_choose() -> None:
    declared = spec(
        FieldSpec("order_no", ("ID",)), FieldSpec("total", ("amt",), parse_type("decimal(12,2)"))
    )
    entity = entity_type(declared, TABLE)
    assert entity.key == ("order_no",)
    assert [field.name for field in entity.fields] == ["order_no", "total"]
    plan = make_plan(declared, entity, TABLE)
    assert plan.lines() == [
        "* order_no <- ID:int4 -> integer",
        "  total <- amt:numeric -> decimal(12,2)",
    ]


def test_a_column_that_is_gone_leaves_its_field_as_null_so_that_old_agents_go_on() -> None:
    before = entity_type(spec(), TABLE)
    smaller = shape([("ID", "int4", "integer"), ("extra", "text", "string")], key=("ID",))
    after = entity_type(spec(), smaller, before)
    assert [field.name for field in after.fields] == ["id", "name", "amt", "extra"]
    plan = make_plan(spec(), after, smaller)
    assert [step.columns for step in plan.steps] == [(0,), (), (), (1,)]
    assert plan.lines()[1] == "  name <- nothing -> string"


def test_a_declared_field_whose_column_is_gone_stays_when_it_was_there_before() -> None:
    declared = spec(FieldSpec("order_no", ("ID",)), FieldSpec("label", ("Name",)))
    before = entity_type(declared, TABLE)
    smaller = shape([("ID", "int4", "integer")], key=("ID",))
    after = entity_type(declared, smaller, before)
    assert after.fields == before.fields
    with pytest.raises(ConfigurationError, match=r"field 'label'.* no column 'Name'; it has ID"):
        entity_type(declared, smaller)


def test_a_retyped_column_changes_its_field() -> None:
    before = entity_type(spec(), TABLE)
    other = shape([("ID", "int4", "integer"), ("Name", "int4", "integer")], key=("ID",))
    assert entity_type(spec(), other, before).field("name").type == FieldType("integer")


@pytest.mark.parametrize(
    ("was", "becomes", "field"),
    [
        ("decimal(12,2)", "decimal(10,2)", "decimal(12,2)"),
        ("decimal(12,4)", "decimal(10,2)", "decimal(12,4)"),
        ("decimal(10,2)", "decimal(12,2)", "decimal(12,2)"),
        ("decimal(10,2)", "decimal(10,4)", "decimal(10,4)"),
        ("decimal(10,2)", "decimal(9,0)", "decimal(9,0)"),
        ("double", "float", "double"),
        ("float", "double", "double"),
        ("array(double)", "array(float)", "array(double)"),
        ("array(float)", "array(double)", "array(double)"),
        ("string", "json", "json"),
    ],
)
def test_a_column_that_is_narrower_keeps_its_fields_type(
    was: str, becomes: str, field: str
) -> None:
    """A stream that is told again tells rows from before a column was widened once more."""
    columns = [("ID", "int4", "integer"), ("v", "numeric", was)]
    before = entity_type(spec(), shape(columns, key=("ID",)))
    other = shape([columns[0], ("v", "numeric", becomes)], key=("ID",))
    assert entity_type(spec(), other, before).field("v").type == parse_type(field)


def test_a_declared_type_is_taken_as_declared() -> None:
    columns = [("ID", "int4", "integer"), ("v", "numeric", "decimal(12,2)")]
    before = entity_type(spec(), shape(columns, key=("ID",)))
    declared = spec(FieldSpec("id", ("ID",)), FieldSpec("v", ("v",), parse_type("decimal(10,2)")))
    after = entity_type(declared, shape(columns, key=("ID",)), before)
    assert after.field("v").type == parse_type("decimal(10,2)")


def test_a_key_column_that_is_gone_asks_for_a_new_entity_name() -> None:
    declared = spec(key=("id",))
    before = entity_type(declared, TABLE)
    smaller = shape([("Name", "text", "string")], key=())
    after = entity_type(declared, smaller, before)
    with pytest.raises(ConfigurationError, match=r"'id' has lost its column.*new entity name"):
        make_plan(declared, after, smaller)


def test_declared_keys_keep_their_order() -> None:
    assert entity_type(spec(key=("name", "id")), TABLE).key == ("name", "id")


WRONG: list[tuple[EntitySpec, Shape, str]] = [
    (spec(key=("nope",)), TABLE, "key field 'nope' is not among its fields: id, name, amt"),
    (spec(), shape([("a", "text", "string")], key=()), "has no primary key; declare `key`"),
    (spec(FieldSpec("n", ("Name",))), TABLE, "no field is made from 'ID' alone"),
    (
        spec(FieldSpec("id", ("ID",), parse_type("double"))),
        TABLE,
        "key field 'id' is double, which can't be a key",
    ),
    (spec(FieldSpec("id", ("ID",), mask="drop")), TABLE, "no row would have a key"),
    (spec(version="nope"), TABLE, "version field 'nope'"),
    (spec(relations=(Relation("r", "x", from_field="nope"),)), TABLE, "relation 'r' starts at"),
    (
        spec(relations=(Relation("r", "x", by=("a", "b"), on=("id", "nope")),)),
        TABLE,
        "relation 'r' starts at field 'nope'",
    ),
    (
        spec(),
        shape([("a b", "text", "string"), ("a_b", "text", "string")], key=("a_b",)),
        "'a b' and 'a_b' of 'public.t' would both become field 'a_b'",
    ),
    (
        spec(FieldSpec("id", ("ID",)), FieldSpec("x", ("Name",), call="a:b")),
        TABLE,
        "say its `type`",
    ),
    (
        spec(FieldSpec("id", ("ID",)), FieldSpec("x", ("Name",), map={"a": 1, "b": "c"})),
        TABLE,
        "of several types",
    ),
    (spec(FieldSpec("id", ("ID",)), FieldSpec("x", ("amt",), unit="a")), TABLE, "exact decimal"),
    (spec(FieldSpec("id", ("ID",)), FieldSpec("x", ("amt",), unit="-1")), TABLE, "exact decimal"),
]


@pytest.mark.parametrize(("declared", "table", "reason"), WRONG, ids=str)
def test_a_wrong_declaration_names_the_field_and_the_way_out(
    declared: EntitySpec, table: Shape, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"erp\.order") as caught:
        entity_type(declared, table)
    assert reason in str(caught.value)


PLANS: list[tuple[FieldSpec, str]] = [
    (FieldSpec("x", ("Name", "amt")), "only `format` can join"),
    (FieldSpec("x", ("amt",), zeros=3), "`zeros` pads text, but column 'amt' is numeric"),
    (FieldSpec("x", ("amt",), zone="Europe/Berlin"), "`zone` turns a local time into an instant"),
]


@pytest.mark.parametrize(("field", "reason"), PLANS, ids=str)
def test_a_transform_that_cannot_apply_to_its_column_is_refused(
    field: FieldSpec, reason: str
) -> None:
    declared = spec(FieldSpec("id", ("ID",)), field)
    with pytest.raises(ConfigurationError) as caught:
        make_plan(declared, entity_type(declared, TABLE), TABLE)
    assert reason in str(caught.value)


def test_a_shape_is_taken_by_what_it_has_not_by_its_class() -> None:
    class Mine:
        table = "t"
        columns = (Column("id", "int", FieldType("integer"), "python", False, True),)
        wire = Wire.PYTHON

    entity = entity_type(spec(), Mine())
    assert make_plan(spec(), entity, Mine()).columns == ("id",)


def test_masked_columns_are_known_to_the_plan() -> None:
    declared = spec(FieldSpec("id", ("ID",)), FieldSpec("who", ("Name",), mask="hash"))
    assert make_plan(declared, entity_type(declared, TABLE), TABLE).masked == {1}


def test_there_is_one_missing_value_even_after_a_pickle() -> None:
    import copy
    import pickle

    assert pickle.loads(pickle.dumps(MISSING)) is MISSING  # noqa: S301 - our own bytes
    assert copy.deepcopy(MISSING) is MISSING
