"""Record batches as they go to the broker: what aiokafka itself would have built and reads back."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from aiokafka.producer import message_accumulator
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.log.kafka import pack as installed
from bridge.log.kafka.batches import RecordBatch, batches
from bridge.log.kafka.settings import MAX_BATCH_BYTES
from bridge.log.port import Entry, RecordTooLarge
from bridge.model.errors import Rejected
from bridge.plan.murmur2 import partition
from tests.example_counts import examples
from tests.module_forms import load_module

ROOT = Path(__file__).parents[2]
NOW = 1_767_225_600_000


#: And as the plain Python that it also is.
FORMS = [installed, load_module("pack_py", ROOT / "bridge/log/kafka/pack.py")]
ENTRIES = st.lists(
    st.builds(
        Entry,
        key=st.none() | st.binary(max_size=200),
        value=st.none() | st.binary(max_size=3_000),
        headers=st.lists(
            st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.binary(max_size=90)),
            max_size=8,
        ),
        timestamp=st.none() | st.integers(0, 2**45),
        partition=st.none() | st.integers(0, 2),
    ),
    max_size=40,
)


def by_aiokafka(entries: list[Entry]) -> bytes:
    """One batch of all of them, built by aiokafka."""
    builder = BatchBuilder(MAX_BATCH_BYTES, 0, is_transactional=1)
    for entry in entries:
        at = NOW if entry.timestamp is None else entry.timestamp
        assert builder.append(
            timestamp=at, key=entry.key, value=entry.value, headers=list(entry.headers)
        )
    builder._set_producer_state(77, 3, 1234)
    return bytes(builder._build())


@pytest.mark.parametrize("form", FORMS, ids=["installed", "interpreted"])
@settings(deadline=None, max_examples=examples(200))
@given(entries=ENTRIES)
def test_a_batch_is_byte_for_byte_what_aiokafka_builds(form: Any, entries: list[Entry]) -> None:
    routed: dict[int, list[Entry]] = {}
    for entry in entries:
        number = partition(entry.key, 3) if entry.partition is None else entry.partition
        routed.setdefault(number, []).append(entry)
    packs = form.packed("t", entries, 3, NOW)
    assert {pack.partition: bytes(pack.built(True, 77, 3, 1234)) for pack in packs} == {
        number: by_aiokafka(rows) for number, rows in routed.items()
    }


@pytest.mark.parametrize("form", FORMS, ids=["installed", "interpreted"])
def test_full_batches_follow_each_other_and_none_is_too_large_for_a_broker(form: Any) -> None:
    entries = [Entry(b"k", bytes([number % 256]) * (9_000 + number), ()) for number in range(500)]
    packs = form.packed("t", entries, 1, NOW)
    assert len(packs) > 3
    values = []
    for pack in packs:
        data = pack.built(False, -1, -1, 0)
        assert len(data) == pack.bytes_in_all() <= MAX_BATCH_BYTES
        memory = MemoryRecords(bytes(data))
        batch = memory.next_batch()
        assert batch is not None
        assert batch.validate_crc()
        read = [record.value for record in batch]
        assert len(read) == pack.records()
        values += read
    assert values == [entry.value for entry in entries]


@pytest.mark.parametrize("form", FORMS, ids=["installed", "interpreted"])
def test_what_no_broker_would_take_is_refused(form: Any) -> None:
    with pytest.raises(RecordTooLarge, match="topic t: a record of 1000001 bytes"):
        form.packed("t", [Entry(b"k", b"v"), Entry(b"k", b"x" * 1_000_000)], 1, NOW)
    with pytest.raises(RecordTooLarge, match="topic t"):
        form.packed("t", [Entry(b"k", b"v", [("n", b"x")] * 499_000)], 1, NOW)
    with pytest.raises(Rejected, match="topic t has no partition 2: it has 2"):
        form.packed("t", [Entry(b"k", b"v", partition=2)], 2, NOW)
    with pytest.raises(Rejected, match="no partition -1"):
        form.packed("t", [Entry(b"k", b"v", partition=-1)], 2, NOW)
    with pytest.raises(TypeError):
        form.packed("t", [["k", b"v", (), None, 0]], 2, NOW)
    with pytest.raises(TypeError):
        form.packed("t", [("text", b"v", (), None, None)], 2, NOW)
    with pytest.raises(UnicodeEncodeError):
        form.packed("t", [Entry(b"k", b"v", [("\ud800", b"")])], 2, NOW)


def test_a_batch_that_is_sent_again_is_the_same_bytes() -> None:
    [batch] = batches("t", [Entry(b"k", b"v")], 1, transactional=True)
    batch._set_producer_state(5, 1, 9)
    assert batch._build() is batch._build()
    assert (batch.record_count(), batch.closed(), batch.partition) == (1, True, 0)


def test_aiokafka_asks_no_more_of_a_batch_than_ours_answers() -> None:
    """Ours stands in for aiokafka's BatchBuilder, which isn't meant to be replaced."""
    source = inspect.getsource(message_accumulator.MessageBatch)
    builder_calls = {word.partition("(")[0] for word in source.split("self._builder.")[1:]}
    assert builder_calls == {
        "_build", "_set_producer_state", "append", "closed", "record_count",
    }  # fmt: skip
    assert all(hasattr(RecordBatch, name) for name in builder_calls)
