"""Field types and entities: the text that people write, and what may be a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import ConfigurationError
from bridge.model.types import SIMPLE, Entity, Field, FieldType, parse_type

SIMPLE_TYPES = st.sampled_from(sorted(SIMPLE)).map(FieldType)
DECIMALS = st.integers(1, 1000).flatmap(
    lambda precision: st.integers(0, precision).map(
        lambda scale: FieldType("decimal", precision, scale)
    )
)
TYPES = st.recursive(
    SIMPLE_TYPES | DECIMALS, lambda inner: inner.map(lambda item: FieldType("array", item=item))
)


@given(TYPES)
def test_the_text_of_a_type_is_the_type(field_type: FieldType) -> None:
    assert parse_type(str(field_type)) == field_type


@pytest.mark.parametrize(
    ("text", "field_type"),
    [
        (" decimal( 15 , 2 ) ", FieldType("decimal", 15, 2)),
        ("decimal(15)", FieldType("decimal", 15, 0)),
        (
            "array(array(decimal(3,1)))",
            FieldType("array", item=FieldType("array", item=FieldType("decimal", 3, 1))),
        ),
    ],
)
def test_blanks_and_a_missing_scale_are_fine(text: str, field_type: FieldType) -> None:
    assert parse_type(text) == field_type


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int",
        "decimal",
        "decimal(0,0)",
        "decimal(2,3)",
        "decimal(1001,0)",
        "array()",
        "array(x)",
        "Integer",
    ],
)
def test_an_unknown_type_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"type .*(use|precision)"):
        parse_type(text)


def test_an_entity_finds_its_fields_by_name() -> None:
    entity = Entity("erp", "order", ("id",), (Field("id", FieldType("integer")),))
    assert entity.qualified == "erp.order"
    assert entity.field("id").type == FieldType("integer")
    with pytest.raises(KeyError):
        entity.field("nope")
