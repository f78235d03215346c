"""Records of change topics as changes of the cache; and what is none."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.copy.change_records import ChangeRecords, UnappliedRecord
from bridge.gateway.copy.row_forms import RowForms
from bridge.log.port import Record
from bridge.model.avro import change_schema, key_schema, row_schema, schema_text
from bridge.model.errors import ConfigurationError
from bridge.model.event import Unavailable
from bridge.model.framing import header
from bridge.model.position import ZERO
from bridge.model.types import Entity, Field, FieldType

TEXT, WHOLE = FieldType("string"), FieldType("integer")
#: Fields that may be null are before the key and after it.
ORDER = Entity(
    "erp",
    "orders",
    ("id",),
    (
        Field("first", TEXT),
        Field("second", WHOLE),
        Field("id", WHOLE),
        Field("note", TEXT),
        Field("tags", FieldType("array", item=TEXT)),
    ),
)
WIDER = Entity("erp", "orders", ("id",), (*ORDER.fields, Field("total", WHOLE)))
OTHER = Entity("erp", "lines", ("id",), ORDER.fields)
CHANGE, KEY, WIDE, FOREIGN, FOREIGN_KEY, BROKEN, AWAY = 1, 2, 3, 4, 5, 6, 7
TEXTS = {
    CHANGE: schema_text(change_schema(ORDER)),
    KEY: schema_text(key_schema(ORDER)),
    WIDE: schema_text(change_schema(WIDER)),
    FOREIGN: schema_text(change_schema(OTHER)),
    FOREIGN_KEY: schema_text(key_schema(OTHER)),
    BROKEN: '{"type": "record", "name": "Change", "namespace": "erp.orders", "fields": []}',
}
ROW = {"first": None, "second": None, "id": 7, "note": "x", "tags": None}


class TextsById:
    """A registry of these texts."""

    async def schema(self, schema_id: int) -> str:
        if schema_id == AWAY:
            raise ConfigurationError("what the registry has is no text")
        return TEXTS[schema_id]


def avro(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def value_of(entity: Entity, schema_id: int, **change: Any) -> bytes:
    full = {
        "op": "update",
        "before": None,
        "after": ROW,
        "unavailable": [],
        "position": ZERO,
        "transaction": "77",
        "occurred_at": None,
        "captured_at": 1_000_000_500_000,
        **change,
    }
    return header(schema_id) + avro(change_schema(entity), full)


KEY_BYTES = avro(key_schema(ORDER), {"id": 7})
FRAMED_KEY = header(KEY) + KEY_BYTES


def record(value: bytes | None, key: bytes | None = FRAMED_KEY) -> Record:
    return Record("acme.erp.orders", 0, 0, 0, key, value, ())


async def read(*records: Record, has_transactions: bool = True) -> Any:
    """The change of the last one, after the others were read."""
    changes = ChangeRecords(TextsById(), "erp", RowForms(), has_transactions=has_transactions)  # type: ignore[arg-type]
    await changes.learn(records)
    applied = None
    for each in records:
        changes.is_new_form("orders", each)
        applied = changes.read("orders", each, 1_000_000.0)
    return applied


async def test_a_change_has_the_row_its_transaction_and_when_it_was_captured() -> None:
    applied = await read(record(value_of(ORDER, CHANGE)))
    change = applied.change
    assert (change.entity, change.key, change.transaction) == ("orders", KEY_BYTES, 77)
    assert change.payload[5:] == avro(row_schema(ORDER), ROW)
    assert change.after["note"] == "x"
    assert change.captured_at == pytest.approx(0.5)
    assert (change.whole, change.snapshot, applied.position) == (True, False, ZERO)


ROWS = st.fixed_dictionaries(
    {
        "first": st.none() | st.text(max_size=3),
        "second": st.none() | st.integers(-(2**63), 2**63 - 1),
        "id": st.integers(-(2**63), 2**63 - 1),
        "note": st.none() | st.text(max_size=3),
        "tags": st.none() | st.lists(st.none() | st.text(max_size=2), max_size=2),
    }
)


@given(ROWS, st.none() | ROWS)
async def test_the_payload_is_the_row_alone_whatever_it_holds(
    after: Mapping[str, Any], before: Mapping[str, Any] | None
) -> None:
    applied = await read(record(value_of(ORDER, CHANGE, after=after, before=before)))
    assert applied.change.payload[5:] == avro(row_schema(ORDER), after)


async def test_a_delete_has_no_row_and_a_tombstone_is_no_change() -> None:
    applied = await read(record(value_of(ORDER, CHANGE, op="delete", before=ROW, after=None)))
    assert (applied.change.payload, applied.change.after, applied.change.whole) == (
        None,
        None,
        True,
    )
    assert await read(record(None)) is None


async def test_a_row_with_a_field_that_was_not_sent_is_not_whole() -> None:
    applied = await read(record(value_of(ORDER, CHANGE, unavailable=["note"])))
    assert not applied.change.whole
    with pytest.raises(Unavailable):
        applied.change.after["note"]


async def test_a_row_of_a_snapshot_is_marked_as_one() -> None:
    applied = await read(record(value_of(ORDER, CHANGE, op="read", transaction=None)))
    assert (applied.change.snapshot, applied.change.transaction) == (True, None)


async def test_transactions_are_left_out_where_reads_dont_take_them() -> None:
    applied = await read(record(value_of(ORDER, CHANGE, transaction="a/7")), has_transactions=False)
    assert applied.change.transaction is None


async def test_a_row_of_an_earlier_form_is_not_whole() -> None:
    wide = record(value_of(WIDER, WIDE, after={**ROW, "total": 1}))
    assert (await read(wide)).change.whole
    assert not (await read(wide, record(value_of(ORDER, CHANGE)))).change.whole


async def test_a_row_of_another_form_than_that_of_reads_is_not_whole() -> None:
    forgotten: list[str] = []
    forms = RowForms(forgotten.append)
    changes = ChangeRecords(TextsById(), "erp", forms, has_transactions=True)  # type: ignore[arg-type]
    old = record(value_of(ORDER, CHANGE))
    await changes.learn([old])
    for entity, whole, expected in ((ORDER, True, []), (WIDER, False, ["orders"])):
        forms.header(entity)
        applied = changes.read("orders", old, 0.0)
        assert applied is not None
        assert applied.change.whole is whole
        assert forgotten == expected


async def test_the_first_record_of_a_later_form_is_noticed() -> None:
    changes = ChangeRecords(TextsById(), "erp", RowForms(), has_transactions=True)  # type: ignore[arg-type]
    old, wide = (
        record(value_of(ORDER, CHANGE)),
        record(value_of(WIDER, WIDE, after={**ROW, "total": 1})),
    )
    await changes.learn([old, wide])
    noticed = [changes.is_new_form("orders", each) for each in (old, old, wide, old, wide)]
    assert noticed == [False, False, True, False, False]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"junk",
        header(CHANGE),
        header(99) + b"\x00",
        header(AWAY) + b"\x00",
        header(BROKEN) + b"\x00",
        header(KEY) + KEY_BYTES,
        value_of(OTHER, FOREIGN),
        value_of(ORDER, CHANGE)[:-6],
        value_of(ORDER, CHANGE, after=None),
        value_of(ORDER, CHANGE, transaction="not a number"),
    ],
)
async def test_what_is_no_change_names_the_row_whose_key_it_has(value: bytes) -> None:
    with pytest.raises(UnappliedRecord, match="not a change") as error:
        await read(record(value))
    assert error.value.key == KEY_BYTES


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"junk!",
        header(99) + KEY_BYTES,
        header(FOREIGN_KEY) + KEY_BYTES,
        header(CHANGE) + KEY_BYTES,
    ],
)
async def test_a_record_without_a_key_of_its_entity_may_mean_any_row(key: bytes | None) -> None:
    with pytest.raises(UnappliedRecord) as error:
        await read(record(value_of(ORDER, CHANGE), key))
    assert error.value.key is None
