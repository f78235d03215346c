import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import fastavro
import pytest

from bridge.model import system_records
from bridge.model.command import CommandRecord
from bridge.model.names import SYSTEM_TOPICS as TOPICS
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import (
    SYSTEM_TOPICS,
    TOPIC_KINDS,
    ApprovalRecord,
    AuditRecord,
    DeadLetter,
    SystemRecord,
    Target,
    TopicKind,
)

AT = datetime(2026, 1, 31, 10, 0, 0, 123456, UTC)
COMMAND = CommandRecord(
    id="credit-watch:abc",
    idempotency_key="credit-watch/check/erp:1/0",
    name="erp.block_order",
    key='{"order_no":"1"}',
    args='{"reason":"Ünïcode ✓"}',
    digest="00ff",
    expect="v1",
    agent="credit-watch",
    agent_version=None,
    handler="check",
    caused_by="erp:1",
    reason=None,
    confidence=0.25,
    deadline=AT + timedelta(days=1),
    requested_at=AT,
)
RECEIPT = Receipt("credit-watch:abc", Outcome.FAILED, "conflict", "m", "{}", "v2", None, AT)
SAMPLES: dict[TopicKind, SystemRecord] = {
    "command": COMMAND,
    "receipt": RECEIPT,
    "approval": ApprovalRecord("credit-watch:abc", "approve", "ann", "00ff", AT, expires_at=AT),
    "audit": AuditRecord("credit-watch:abc", "erp.block_order", "executing", "executor", AT),
    "dead": DeadLetter("event", "credit-watch", "boom", AT, "t", 3, 2**40, value=b"\0\1", raw="{}"),
}


@pytest.mark.parametrize("topic_kind", TOPIC_KINDS)
def test_a_record_comes_back_as_it_was_written(topic_kind: TopicKind) -> None:
    assert (
        system_records.decode(topic_kind, system_records.encode(topic_kind, SAMPLES[topic_kind]))
        == SAMPLES[topic_kind]
    )


@pytest.mark.parametrize("topic_kind", TOPIC_KINDS)
def test_the_schema_file_and_the_dataclass_have_the_same_fields(topic_kind: TopicKind) -> None:
    schema = json.loads(system_records.schema_texts(topic_kind)[1])
    assert sorted(field["name"] for field in schema["fields"]) == sorted(
        field.name for field in fields(SYSTEM_TOPICS[topic_kind].record)
    )
    assert schema["namespace"] == "bridge"


@pytest.mark.parametrize("topic_kind", TOPIC_KINDS)
def test_enums_have_a_default_so_that_old_readers_survive_new_symbols(
    topic_kind: TopicKind,
) -> None:
    schema = json.loads(system_records.schema_texts(topic_kind)[1])
    enums = [
        field["type"]
        for field in schema["fields"]
        if isinstance(field["type"], dict) and field["type"]["type"] == "enum"
    ]
    assert all(enum["default"] == enum["symbols"][0] for enum in enums)


def test_an_outcome_of_a_later_version_reads_as_unknown() -> None:
    writer = json.loads(system_records.schema_texts("receipt")[1])
    [outcome] = [field["type"] for field in writer["fields"] if field["name"] == "outcome"]
    outcome["symbols"].insert(1, "postponed")
    later = system_records.encode("receipt", RECEIPT).replace(b"\x04", b"\x02", 1)
    read = system_records.decode("receipt", later, fastavro.parse_schema(writer))
    assert isinstance(read, Receipt)
    assert read.outcome is Outcome.UNKNOWN_OUTCOME


def test_every_outcome_is_a_symbol_of_the_receipt_schema() -> None:
    for outcome in Outcome:
        written = system_records.encode("receipt", replace(RECEIPT, outcome=outcome))
        assert system_records.decode("receipt", written) == replace(RECEIPT, outcome=outcome)


def test_instants_keep_their_microseconds_and_read_as_utc() -> None:
    local = AT.astimezone(timezone(timedelta(hours=2)))
    read = system_records.decode(
        "receipt", system_records.encode("receipt", replace(RECEIPT, finished_at=local))
    )
    assert isinstance(read, Receipt)
    assert (read.finished_at, read.finished_at.utcoffset()) == (AT, timedelta(0))


def test_a_target_key_is_canonical_whatever_the_order_of_its_fields() -> None:
    first = system_records.target("erp", "order_line", {"order_no": "1", "line": 10})
    other = system_records.target("erp", "order_line", {"line": 10, "order_no": "1"})
    assert first == other == Target("erp", "order_line", '{"line":10,"order_no":"1"}')
    assert (
        system_records.decode_key("command", system_records.encode_key("command", first)) == first
    )


def test_commands_and_receipts_of_one_target_have_the_same_key_bytes() -> None:
    key = system_records.target("erp", "sales_order", {"order_no": "1"})
    assert system_records.encode_key("command", key) == system_records.encode_key("receipt", key)
    assert system_records.schema_texts("command")[0] == system_records.schema_texts("receipt")[0]


@pytest.mark.parametrize("topic_kind", ["approval", "audit", "dead"])
def test_other_keys_are_text(topic_kind: TopicKind) -> None:
    assert (
        system_records.decode_key(
            topic_kind, system_records.encode_key(topic_kind, "erp.sales_order")
        )
        == "erp.sales_order"
    )


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="a command is a CommandRecord, not a Receipt"):
        system_records.encode("command", RECEIPT)


def test_an_enum_symbol_that_does_not_exist_is_refused() -> None:
    wrong = replace(SAMPLES["dead"], kind="nonsense")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nonsense"):
        system_records.encode("dead", wrong)


@pytest.mark.parametrize("topic_kind", TOPIC_KINDS)
def test_every_kind_has_a_topic_and_a_cloudevents_id(topic_kind: TopicKind) -> None:
    event_id, at = system_records.cloud_event(SAMPLES[topic_kind])
    assert SYSTEM_TOPICS[topic_kind].topic in TOPICS
    assert event_id.startswith("credit-watch")
    assert at == AT
