import copy
import json
from typing import Any

import pytest

from bridge.model import system_records
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.errors import Rejected
from bridge.model.schema_compatibility import check, fingerprint, incompatibilities
from bridge.model.types import Entity, Field, parse_type


def change(**fields: str) -> Any:
    """The change schema of an entity with these fields beside its key."""
    entity = Entity(
        "erp",
        "sales_order",
        ("order_no",),
        (
            Field("order_no", parse_type("string")),
            *(Field(name, parse_type(kind)) for name, kind in fields.items()),
        ),
    )
    return change_schema(entity)


def record(**types: Any) -> Any:
    """A record with fields of these Avro types."""
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    return {"type": "record", "name": "R", "fields": fields}


def test_the_same_schema_may_follow() -> None:
    schema = change(total="decimal(15,2)", at="timestamp", tags="array(string)")
    assert incompatibilities(schema, copy.deepcopy(schema)) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("decimal(15,2)", "decimal(15,3)", "had 2 decimal places and would have 3"),
        ("decimal(15,2)", "decimal(14,2)", "had 15 digits and would have only 14"),
        ("decimal(15,2)", "string", "was decimal(15,2) and would become string"),
        ("timestamp", "local_timestamp", "was a timestamp in microseconds"),
        ("local_timestamp", "timestamp", "would become a timestamp in microseconds"),
        ("date", "timestamp", "was date"),
        ("integer", "string", "was long and would become string"),
        ("integer", "double", "was long and would become double"),
        ("double", "float", "was double and would become float"),
        ("string", "uuid", "was string and would become uuid"),
        ("array(integer)", "array(string)", "was long and would become string"),
        ("array(decimal(5,1))", "array(decimal(5,2))", "had 1 decimal places"),
    ],
)
def test_a_change_of_meaning_is_refused_and_named(old: str, new: str, reason: str) -> None:
    reasons = incompatibilities(change(value=old), change(value=new))
    assert any(reason in each for each in reasons), reasons
    assert all("value" in each for each in reasons)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("decimal(15,2)", "decimal(17,2)"),
        ("float", "double"),
        ("array(decimal(5,2))", "array(decimal(7,2))"),
    ],
)
def test_what_only_gets_wider_may_follow(old: str, new: str) -> None:
    assert incompatibilities(change(value=old), change(value=new)) == []


def test_a_changed_unit_is_refused() -> None:
    millis = {"type": "long", "logicalType": "timestamp-millis"}
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    [reason] = incompatibilities(record(at=millis), record(at=micros))
    assert reason == (
        "field 'at' was a timestamp in milliseconds and would become a timestamp in microseconds"
    )


def test_a_new_field_needs_a_default() -> None:
    assert incompatibilities(change(a="string"), change(a="string", b="string")) == []
    [reason] = incompatibilities(record(a="string"), record(a="string", b="string"))
    assert reason == "field 'b' is new and has no default"


def test_a_dropped_field_must_stay() -> None:
    reasons = incompatibilities(change(a="string", b="string"), change(a="string"))
    assert reasons
    assert all(".b' is gone: keep it" in reason for reason in reasons)


def test_a_field_that_can_not_be_null_any_more_is_refused() -> None:
    reasons = incompatibilities(record(a=["null", "string"]), record(a="string"))
    assert reasons == ["field 'a' could be null and can't any more"]
    assert incompatibilities(record(a="string"), record(a=["null", "string"])) == []


def test_an_enum_may_gain_symbols_and_never_lose_them() -> None:
    small = {"type": "enum", "name": "E", "symbols": ["a", "b"]}
    large = {"type": "enum", "name": "E", "symbols": ["a", "b", "c"]}
    assert incompatibilities(record(e=small), record(e=large)) == []
    assert incompatibilities(record(e=large), record(e=small)) == ["field 'e' loses c"]


def test_a_key_never_changes_but_its_text_may_be_written_differently() -> None:
    entity = Entity("erp", "o", ("a",), (Field("a", parse_type("integer")),))
    other = Entity("erp", "o", ("a",), (Field("a", parse_type("string")),))
    same = json.loads(json.dumps(key_schema(entity), indent=2))
    assert incompatibilities(key_schema(entity), same, "acme.erp.o-key") == []
    [reason] = incompatibilities(key_schema(entity), key_schema(other), "acme.erp.o-key")
    assert "use a new entity name" in reason


def test_every_version_is_looked_at_and_every_reason_told() -> None:
    versions = [schema_text(change(a="decimal(5,1)")), schema_text(change(a="decimal(7,1)"))]
    with pytest.raises(Rejected) as refused:
        check("acme.erp.o-value", schema_text(change(a="decimal(6,1)")), versions)
    assert refused.value.code == "incompatible_schema"
    assert "acme.erp.o-value" in str(refused.value)
    assert "version 2" in str(refused.value)
    assert "version 1" not in str(refused.value)


@pytest.mark.parametrize("topic_kind", system_records.TOPIC_KINDS)
def test_the_fixed_topics_follow_themselves(topic_kind: system_records.TopicKind) -> None:
    for text in system_records.schema_texts(topic_kind):
        assert incompatibilities(json.loads(text), json.loads(text)) == []


def test_blanks_and_order_of_attributes_do_not_make_another_schema() -> None:
    schema = change(a="string")
    turned = {name: schema[name] for name in reversed(schema)}
    assert fingerprint(json.dumps(schema)) == fingerprint(json.dumps(turned, indent=3))
    assert fingerprint(json.dumps(schema)) != fingerprint(json.dumps(change(b="string")))
