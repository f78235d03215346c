"""Payloads of rows: equal exactly if they are the same row in the same form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.gateway.copy.row_forms import RowForms
from bridge.model.types import Entity, Field, FieldType, Relation

ORDER = Entity(
    "erp",
    "orders",
    ("id",),
    (Field("id", FieldType("integer")), Field("note", FieldType("string"))),
)
ROW = b"\x02\x02\x06new"


def test_a_row_is_read_back_from_its_payload() -> None:
    forms = RowForms()
    assert forms.row(forms.header(ORDER) + ROW).as_dict() == {"id": 1, "note": "new"}


def test_what_does_not_change_the_bytes_does_not_change_the_form() -> None:
    forms = RowForms()
    related = replace(ORDER, relations=(Relation("lines", "lines", ("order_id",)),), version="note")
    assert forms.header(related) == forms.header(ORDER)


@pytest.mark.parametrize(
    "other",
    [
        replace(ORDER, name="invoices"),
        replace(ORDER, key=("id", "note")),
        replace(ORDER, fields=(*ORDER.fields, Field("total", FieldType("integer")))),
        replace(ORDER, fields=(ORDER.fields[0], Field("text", FieldType("string")))),
    ],
)
def test_what_changes_the_meaning_of_the_bytes_is_another_form(other: Entity) -> None:
    forms = RowForms()
    assert forms.header(other) != forms.header(ORDER)
    assert forms.row(forms.header(ORDER) + ROW).as_dict() == {"id": 1, "note": "new"}


def test_a_payload_of_an_unknown_form_is_refused() -> None:
    with pytest.raises(KeyError):
        RowForms().row(b"\x00\x00\x00\x00\x07" + ROW)
