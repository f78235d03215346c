"""A row's key is its raw values where these are requested, else its fields' in the source's form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bridge.connector import Column, Shape
from bridge.gateway.row_keys import row_keys
from bridge.gateway.source_rows import SourceRows
from bridge.model.provenance import Provenance, TracedRow
from bridge.model.types import FieldType
from bridge.plan.steps import Wire
from tests.gateway.memory_reader import PaddedTable

TABLE = PaddedTable("thing", "T", ["ID", "TEXT"], ["id"])


def answer_of(*raws: tuple[Any, ...], wire: Wire = Wire.PYTHON) -> SourceRows:
    columns = tuple(Column(name, "TEXT", FieldType("string"), "text") for name in ("ID", "TEXT"))
    shape = Shape("T", columns, wire)
    provenance = Provenance("erp.thing", "legacy", datetime(2026, 1, 1, tzinfo=UTC))
    texts = [(str(raw[0]), "x") for raw in raws]
    rows = [TracedRow(TABLE.row(shape, text), provenance, TABLE.entity) for text in texts]
    return SourceRows(shape, raws, rows)


def keys_of(answer: SourceRows, *requested: str) -> list[Any]:
    return row_keys(TABLE, ("id",), ("ID",), answer, {(key,) for key in requested})


def test_a_raw_value_that_is_requested_is_the_key() -> None:
    assert keys_of(answer_of(("7", "x"), ("0007", "x")), "7", "0007") == [("7",), ("0007",)]


def test_another_is_taken_back_to_the_sources_form() -> None:
    assert keys_of(answer_of(("7", "x"), (8, "x")), "0007", "0008") == [("0007",), ("0008",)]


def test_a_raw_value_without_a_hash_is_taken_back_too() -> None:
    assert keys_of(answer_of((bytearray(b"7"), "x")), "0007") == [
        (TABLE.outward(("id",), (str(bytearray(b"7")),)))
    ]


def test_rows_that_are_bytes_are_not_looked_into() -> None:
    assert keys_of(answer_of(("7", "x"), wire=Wire.PGCOPY), "7", "0007") == [("0007",)]
