"""The codec of the fixed topics: whatever stands in a topic, only its own error comes out."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry, Record, TopicPartition
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.log.system_topics import SystemTopicCodec, UnreadableRecord, entry_size
from bridge.model import framing, system_records
from bridge.model.names import SCHEMAS, internal_topic
from bridge.model.system_records import TOPIC_KINDS, DeadLetter, Target, TopicKind
from bridge.wiring.registry_events import RegistryEventDecoder, UnreadableChange
from tests.agent.sqlite_erp import MemoryRegistry
from tests.hostile_values import HALF_EMOJI, SCHEMA_TEXTS, VALUES, quick
from tests.model.test_system_records import SAMPLES

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
KIND = st.sampled_from(TOPIC_KINDS)
SELF = '{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}'


class OneSchema(MemoryRegistry):
    """A registry that has this schema under every id that isn't its own."""

    foreign = ""

    async def schema(self, schema_id: int) -> str:
        try:
            return await super().schema(schema_id)
        except KeyError:
            return self.foreign


async def opened() -> tuple[SystemTopicCodec, OneSchema]:
    registry = OneSchema()
    codec = SystemTopicCodec(registry, "acme")
    await codec.open()
    return codec, registry


@quick
@given(KIND, st.binary(max_size=80), st.sampled_from(["own", "none", "foreign"]), SCHEMA_TEXTS)
async def test_any_bytes_by_any_schema_are_a_record_or_unreadable(
    topic_kind: TopicKind, data: bytes, frame: str, schema: str
) -> None:
    codec, registry = await opened()
    registry.foreign = schema
    frames = {"own": b"\0\0\0\0\2", "none": b"", "foreign": b"\0\0\1\0\0"}
    value = frames[frame] + data
    for read in (codec.decode(topic_kind, value), _key(codec, topic_kind, value)):
        try:
            await read
        except UnreadableRecord as unreadable:
            text = str(unreadable)
            assert text.encode()


async def _key(codec: SystemTopicCodec, topic_kind: TopicKind, key: bytes) -> Any:
    return codec.decode_key(topic_kind, key)


@quick
@given(KIND, st.data())
async def test_a_record_with_a_few_bytes_changed_is_a_record_or_unreadable(
    topic_kind: TopicKind, data: st.DataObject
) -> None:
    codec, _ = await opened()
    key: Any = Target("erp", "order", "{}") if topic_kind in ("command", "receipt") else "id"
    entry = codec.entry(topic_kind, key, SAMPLES[topic_kind])
    for own, decode in ((entry.value, codec.decode), (entry.key, _decoding_key(codec))):
        changed = bytearray(own or b"")
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        try:
            await decode(topic_kind, bytes(changed))
        except UnreadableRecord:
            continue


def _decoding_key(codec: SystemTopicCodec) -> Any:
    async def decode(topic_kind: TopicKind, key: bytes) -> Any:
        return codec.decode_key(topic_kind, key)

    return decode


@quick
@given(KIND, VALUES, st.data())
async def test_a_record_of_any_fields_is_written_and_read_again_or_refused(
    topic_kind: TopicKind, value: Any, data: st.DataObject
) -> None:
    codec, _ = await opened()
    name = data.draw(st.sampled_from([*SAMPLES[topic_kind].__dataclass_fields__]))
    record = replace(SAMPLES[topic_kind], **{name: value})
    key: Any = Target("erp", "order", "{}") if topic_kind in ("command", "receipt") else "id"
    try:
        entry = codec.entry(topic_kind, key, record)
    except UnreadableRecord:
        return
    await codec.decode(topic_kind, entry.value or b"")


@pytest.mark.parametrize("where", ["field", "alone"])
async def test_a_schema_that_holds_itself_is_refused_before_it_overflows_the_stack(
    where: str,
) -> None:
    """It ended the process: a segmentation fault, at each start."""
    codec, registry = await opened()
    registry.foreign = (
        SELF
        if where == "alone"
        else f'{{"type":"record","name":"Receipt","fields":[{{"name":"x","type":{SELF}}}]}}'
    )
    with pytest.raises(UnreadableRecord, match="contains itself"):
        await codec.decode("receipt", b"\0\0\1\0\0" + b"\x02" * 500_000 + b"\0")


@pytest.mark.parametrize(
    "items",
    [
        '"null"',
        '{"type":"record","name":"Empty","fields":[]}',
        '{"type":"fixed","name":"Nothing","size":0}',
        '{"type":"record","name":"Nulls","fields":[{"name":"a","type":"null"}]}',
    ],
)
async def test_an_array_of_items_without_bytes_is_refused_at_once(items: str) -> None:
    """Nine bytes asked for 2^62 of them."""
    codec, registry = await opened()
    registry.foreign = (
        '{"type":"record","name":"Receipt","fields":[{"name":"x","type":'
        f'{{"type":"array","items":{items}}}}}]}}'
    )
    started = time.process_time()
    with pytest.raises(UnreadableRecord, match="zero bytes"):
        await codec.decode("receipt", b"\0\0\1\0\0" + b"\xfe" + b"\xff" * 8 + b"\x01")
    assert time.process_time() - started < 5


async def test_a_value_of_endless_parts_is_refused() -> None:
    """Each record holds two of the one before it: forty lines ask for 2^40 parts."""
    fields = '{"name":"a","type":"null"}'
    for number in range(40):
        inner = f'{{"type":"record","name":"R{number}","fields":[{fields}]}}'
        fields = f'{{"name":"a","type":{inner}}},{{"name":"b","type":"R{number}"}}'
    codec, registry = await opened()
    registry.foreign = f'{{"type":"record","name":"Receipt","fields":[{fields}]}}'
    with pytest.raises(UnreadableRecord, match="more than 500 parts"):
        await codec.decode("receipt", b"\0\0\1\0\0")


async def test_the_bridges_own_schemas_are_within_the_limits() -> None:
    codec, registry = await opened()
    for kind in TOPIC_KINDS:
        registry.foreign = system_records.schema_texts(kind)[1]
        frame = b"\0\0\1\0" + bytes([TOPIC_KINDS.index(kind)])
        assert (
            await codec.decode(kind, frame + system_records.encode(kind, SAMPLES[kind]))
            == SAMPLES[kind]
        )


LETTER = DeadLetter(kind="event", source="watch", reason="no", at=NOW, topic="t", offset=1)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"key": b"k", "value": b"v"}, {"key": b"k", "value": b"v"}),
        ({"key": b"k", "value": b"v" * 10_000}, {"key": b"k", "value": None}),
        ({"key": b"k" * 10_000, "value": b"v"}, {"key": None, "value": None}),
        ({"key": b"k", "raw": "r" * 10_000}, {"key": b"k", "raw": None}),
        ({"key": b"k" * 10_000, "raw": "r"}, {"key": None, "raw": "r"}),
        ({"event_id": "x" * 10_000}, {"event_id": None, "offset": 1}),
        ({"handler": HALF_EMOJI}, {"handler": None, "offset": 1}),
        ({"handler": 5}, {"handler": None, "offset": 1}),
        ({"reason": f"late {HALF_EMOJI}", "value": b"v"}, {"reason": "late ?"}),
    ],
)
async def test_a_dead_letter_is_written_whatever_it_holds(
    fields: dict[str, Any], kept: dict[str, Any]
) -> None:
    codec, _ = await opened()
    entry = codec.letter(replace(LETTER, **fields), 5000)
    assert entry_size(entry) <= 5000
    letter = await codec.decode("dead", entry.value or b"")
    assert {name: getattr(letter, name) for name in kept} == kept


async def test_an_id_under_which_the_registry_holds_no_schema_is_the_records_fault(
    tmp_path: Path,
) -> None:
    """It ended whatever read it: an executor, at each start."""
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    registry = EmbeddedRegistry(log, "acme")
    await registry.open()
    codec = SystemTopicCodec(registry, "acme")
    await codec.open()
    topic = internal_topic("acme", SCHEMAS)
    end = await log.end_offsets([TopicPartition(topic, 0)])
    await log.append(topic, [Entry(b"k", b"junk")])
    value = framing.header(end[TopicPartition(topic, 0)] + 1) + b"x"
    with pytest.raises(UnreadableRecord, match="skipped"):
        await codec.decode("command", value)
    record = Record("acme.erp.sales_order", 0, 0, 0, value, value, ())
    with pytest.raises(UnreadableChange, match="skipped"):
        await RegistryEventDecoder(registry, {}).decode(record)
    await registry.close()
    await log.close()
