"""What a view takes of a change record's bytes, compared with another Avro library."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.view.index_values import NoIndexValue, index_encoder
from bridge.gateway.view.pending_writes import PendingWrites
from bridge.gateway.view.row_parts import (
    UNKNOWN,
    RowLayout,
    compact_position,
    position_text,
)
from bridge.gateway.view.table_forms import table_forms
from bridge.gateway.view.view_store import HeldRow
from bridge.model.position import format_position
from bridge.model.types import Field, FieldType
from tests.gateway.view.change_records import (
    ENTITIES,
    EXACT,
    ORDER,
    change_value,
    order,
    order_key,
    row_of,
    text_of,
)

FORMS = table_forms(ENTITIES, EXACT)
LAYOUT = RowLayout(text_of(ORDER), FORMS["order"])
CUSTOMER_BYTES = index_encoder(FieldType("integer"))

ROWS = st.fixed_dictionaries(
    {
        "note": st.none() | st.text(max_size=200),
        "id": st.integers(-(2**63), 2**63 - 1),
        "customer_id": st.none() | st.integers(-(2**40), 2**40),
        "total": st.none() | st.integers(-(10**8), 10**8).map(lambda n: Decimal(n).scaleb(-2)),
        "weight": st.none() | st.floats(allow_nan=False),
        "tags": st.none() | st.lists(st.none() | st.text(max_size=4), max_size=4),
    }
)
POSITIONS = st.builds(
    format_position, st.integers(0, 65535), st.integers(0, 2**64 - 1), st.integers(0, 2**40 - 1)
)


@given(row=ROWS, before=st.none() | ROWS, missing=st.sets(st.sampled_from(["note", "tags"])))
def test_the_row_the_position_and_what_was_not_sent_are_taken(
    row: dict[str, Any], before: dict[str, Any] | None, missing: set[str]
) -> None:
    value = change_value(row, commit=7, number=3, missing=sorted(missing), before=before)
    parts = LAYOUT.parts(value)
    assert parts.row is not None
    assert row_of(parts.row) == {**row, **dict.fromkeys(missing)}
    assert parts.position == format_position(0, 7, 3)
    assert parts.missing == tuple(sorted(missing))
    customer = row["customer_id"]
    assert parts.indexed == (None if customer is None else CUSTOMER_BYTES(customer),)


@given(row=ROWS)
def test_a_deleted_row_has_no_bytes(row: dict[str, Any]) -> None:
    assert LAYOUT.parts(change_value(None, op="delete", before=row)).row is None
    assert LAYOUT.parts(change_value(row, op="delete")).row is None


@given(row=ROWS, size=st.integers(0, 400))
def test_bytes_that_end_too_early_are_refused(row: dict[str, Any], size: int) -> None:
    value = change_value(row, missing=["note"])
    # What follows the position isn't read.
    for end in (min(size, len(value) - 40), len(value) - 40):
        with pytest.raises((ValueError, IndexError)):
            LAYOUT.parts(value[:end])


@given(text=POSITIONS, other=POSITIONS)
def test_positions_are_kept_in_fifteen_bytes_in_their_order(text: str, other: str) -> None:
    assert position_text(compact_position(text)) == text
    assert (compact_position(text) < compact_position(other)) == (text < other)


@given(held=ROWS, row=ROWS, missing=st.sets(st.sampled_from(["note", "total", "customer_id"])))
def test_a_row_that_was_sent_in_part_is_completed_by_the_one_held(
    held: dict[str, Any], row: dict[str, Any], missing: set[str]
) -> None:
    pending = PendingWrites(FORMS, lambda _, __: None)
    key = order_key(1)
    names = sorted(missing)
    for value in (change_value(held, commit=1), change_value(row, commit=2, missing=names)):
        pending.add("order", key, LAYOUT.parts(value), {1: LAYOUT})
    write = pending.take()["order"][key]
    assert write is not None
    whole = {**row, **{name: held[name] for name in names}}
    assert row_of(write[2]) == whole
    customer = whole["customer_id"]
    assert write[4] == (None if customer is None else CUSTOMER_BYTES(customer))
    # It is only as whole as what it continues: a dead letter in between keeps it in doubt.
    assert position_text(write[1]) == format_position(0, 1 if names else 2, 0)


def partial_write(held: HeldRow | None) -> Any:
    """What a partial change of order 1 writes over this row."""
    pending = PendingWrites(FORMS, lambda _, __: held)
    value = change_value(order(1, 5), commit=9, missing=["note"])
    layouts = {1: LAYOUT, 2: RowLayout(text_of(OTHER), FORMS["order"])}
    pending.add("order", order_key(1), LAYOUT.parts(value), layouts)
    return pending.take()["order"][order_key(1)]


OTHER = replace(ORDER, fields=(Field("note", FieldType("integer")), *ORDER.fields[1:]))


@pytest.mark.parametrize("held", [None, HeldRow(format_position(0, 1, 0), UNKNOWN)])
def test_a_row_that_nothing_completes_is_not_known(held: HeldRow | None) -> None:
    write = partial_write(held)
    assert write[2] == UNKNOWN
    assert write[4] is None


def test_a_row_of_another_form_does_not_complete_what_it_can_not() -> None:
    earlier = {**order(1, 5), "note": 12, "tags": None}
    value = change_value(earlier, commit=2, entity=OTHER, schema=2)
    layout = RowLayout(text_of(OTHER), FORMS["order"])
    row = layout.parts(value).row
    assert row is not None
    assert partial_write(HeldRow(format_position(0, 2, 0), row))[2] == UNKNOWN


def test_a_row_of_another_form_completes_the_fields_that_are_the_same() -> None:
    wider = replace(ORDER, fields=(*ORDER.fields, Field("extra", FieldType("string"))))
    layouts = {1: LAYOUT, 2: RowLayout(text_of(wider), FORMS["order"])}
    pending = PendingWrites(FORMS, lambda _, __: None)
    key = order_key(1)
    pending.add("order", key, LAYOUT.parts(change_value(order(1, 5, "kept"))), layouts)
    sent = {**order(1, 6), "extra": "new"}
    value = change_value(sent, commit=2, missing=["note"], entity=wider, schema=2)
    pending.add("order", key, layouts[2].parts(value), layouts)
    write = pending.take()["order"][key]
    assert write is not None
    assert row_of(write[2], wider) == {**sent, "note": "kept"}


def test_an_indexed_field_of_another_type_is_taken_by_its_value() -> None:
    earlier = replace(
        ORDER,
        fields=tuple(
            Field("customer_id", FieldType("decimal", 9, 2)) if f.name == "customer_id" else f
            for f in ORDER.fields
        ),
    )
    layout = RowLayout(text_of(earlier), FORMS["order"])
    parts = layout.parts(change_value({**order(1), "customer_id": Decimal(5)}, entity=earlier))
    assert parts.indexed == (CUSTOMER_BYTES(5),)
    with pytest.raises(NoIndexValue):
        layout.parts(change_value({**order(1), "customer_id": Decimal("5.25")}, entity=earlier))


def test_a_record_from_before_an_indexed_field_was_added_does_not_say_what_it_is() -> None:
    """The column may have a default."""
    narrow = replace(ORDER, fields=tuple(f for f in ORDER.fields if f.name != "customer_id"))
    row = {name: value for name, value in order(1).items() if name != "customer_id"}
    layout = RowLayout(text_of(narrow), FORMS["order"])
    with pytest.raises(NoIndexValue):
        layout.parts(change_value(row, entity=narrow))
