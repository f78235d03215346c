"""Values survive the way to another process exactly; bytes of anybody else are refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.remote import column_codec, value_codec
from bridge.gateway.remote.column_codec import append_rows, decode_rows
from bridge.gateway.remote.value_codec import BadFrame, ByteCursor, Unsendable, append_value
from tests.gateway.remote.values import VALUE, exactly, rows_of_values


def encoded_rows(rows: list[tuple[Any, ...]]) -> bytes:
    out = bytearray()
    append_rows(out, rows)
    return bytes(out)


def decoded_rows(data: bytes) -> list[tuple[Any, ...]]:
    cursor = ByteCursor(data)
    rows = decode_rows(cursor)
    cursor.end()
    return rows


@given(VALUE)
def test_a_value_comes_out_as_it_went_in(value: Any) -> None:
    out = bytearray()
    append_value(out, value)
    cursor = ByteCursor(bytes(out))
    assert exactly(cursor.value()) == exactly(value)
    cursor.end()


@given(rows_of_values())
def test_rows_come_out_as_they_went_in(rows: list[tuple[Any, ...]]) -> None:
    assert [exactly(row) for row in decoded_rows(encoded_rows(rows))] == [exactly(r) for r in rows]


BERLIN, SOFIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Sofia")
AT_NIGHT = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - its zones are given below


@pytest.mark.parametrize(
    "column",
    [
        [AT_NIGHT.replace(fold=1)] * 6,
        [AT_NIGHT, AT_NIGHT.replace(fold=1)] * 3,
        [AT_NIGHT.replace(tzinfo=BERLIN, fold=fold) for fold in (0, 1)] * 3,
        [AT_NIGHT.replace(tzinfo=zone) for zone in (BERLIN, SOFIA)] * 3,
        [AT_NIGHT.replace(tzinfo=zone) for zone in (None, UTC)] * 3,
        [AT_NIGHT.replace(tzinfo=UTC)] * 6,
        [AT_NIGHT.replace(tzinfo=BERLIN), None] * 3,
        ["a\0b", "", "c"] * 2,
    ],
)
def test_a_column_keeps_what_its_values_share_and_what_they_do_not(column: list[Any]) -> None:
    rows = [(value,) for value in column]
    assert [exactly(row) for row in decoded_rows(encoded_rows(rows))] == [exactly(r) for r in rows]


@given(rows_of_values(), st.data())
def test_rows_that_end_early_are_refused(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    whole = encoded_rows(rows)
    with pytest.raises(BadFrame):
        decoded_rows(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(BadFrame):
        decoded_rows(whole + b"\0")


@given(rows_of_values(), st.data())
def test_damaged_rows_are_other_rows_or_refused(
    rows: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    damaged = bytearray(encoded_rows(rows))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadFrame):
        decoded_rows(bytes(damaged))


@given(st.binary(max_size=60))
def test_random_bytes_are_rows_or_refused(data: bytes) -> None:
    for decode in (decode_rows, ByteCursor.value):
        with suppress(BadFrame):
            decode(ByteCursor(data))


def test_a_few_bytes_cant_ask_for_more_memory_than_a_frame_may_hold() -> None:
    million = (1_000_000).to_bytes(4, "little")
    with pytest.raises(BadFrame, match="values at most"):
        decode_rows(ByteCursor(million + million + b"N" * 1000))
    with pytest.raises(BadFrame, match="values at most"):
        decode_rows(ByteCursor(b"\xff\xff\xff\xff" + bytes(4)))


def test_deep_values_are_refused_on_both_sides() -> None:
    deep: Any = None
    for _ in range(value_codec.MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(Unsendable, match="nested deeper"):
        append_value(bytearray(), deep)
    with pytest.raises(BadFrame, match="nested too deeply"):
        ByteCursor(b"l\1\0\0\0" * 100_000 + b"N").value()


class _Text(str):
    __slots__ = ("more",)


@pytest.mark.parametrize("value", [_Text("a"), object(), {1, 2}, 1j])
def test_what_might_come_out_as_something_else_is_not_sent(value: Any) -> None:
    with pytest.raises(Unsendable, match=type(value).__name__) as raised:
        encoded_rows([(1, value)])
    assert raised.value.code == "bad_value"


def test_a_zone_without_a_name_is_not_sent() -> None:
    # The shortest file of that format: one type of time, no transitions.
    header = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    nameless = ZoneInfo.from_file(BytesIO(header + bytes(6) + b"UTC\0"))
    with pytest.raises(Unsendable, match="ZoneInfo"):
        append_value(bytearray(), datetime(2026, 1, 1, tzinfo=nameless))


@pytest.mark.parametrize("rows", [[(1,), (1, 2)], [[1]], [(1,), b"raw"]])
def test_rows_of_another_form_are_not_sent(rows: list[Any]) -> None:
    with pytest.raises(Unsendable, match="tuples of one length"):
        encoded_rows(rows)


def test_more_values_than_a_frame_may_hold_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_codec, "MAX_CELLS", 5)
    assert decoded_rows(encoded_rows([(1,)] * 5)) == [(1,)] * 5
    with pytest.raises(Unsendable, match="too many"):
        encoded_rows([(1, 2)] * 3)
