"""Questions, answers, shapes and errors survive the way to another process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Column, Shape
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.ask import OPERATORS, Ask, ColumnCondition, ColumnOrder, ReaderFeatures
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.remote import messages
from bridge.gateway.remote.error_codec import RemoteReadFailed, decode_error, encode_error
from bridge.gateway.remote.messages import AnswerPart, Registration, SentAsk, Welcome
from bridge.gateway.remote.value_codec import BadFrame
from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    DeadlineExceeded,
    LoginRefused,
    MissingRight,
    Rejected,
    RetryLater,
    RowError,
    SystemBusy,
    Unsupported,
)
from bridge.model.types import FieldType
from bridge.plan.steps import Wire
from tests.gateway.remote.values import SCALAR, exactly, rows_of_values

NAMES = st.text(min_size=1, max_size=8)
NUMBERS = st.none() | st.integers(0, 10**12)
TYPES = st.sampled_from(
    [FieldType("string"), FieldType("decimal", 15, 2), FieldType("array", item=FieldType("date"))]
)
COLUMNS = st.builds(Column, NAMES, NAMES, TYPES, NAMES, st.booleans(), st.booleans(), st.booleans())
SHAPES = st.builds(
    Shape,
    NAMES,
    st.lists(COLUMNS, max_size=4).map(tuple),
    st.sampled_from(Wire),
    st.sampled_from(["full", "none"]),
)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    keys = draw(rows_of_values())
    return Ask(
        draw(NAMES),
        tuple(draw(NAMES) for _ in (keys[0] if keys else ())),
        keys,
        draw(st.none() | st.lists(NAMES, max_size=3).map(tuple)),
        tuple(
            ColumnCondition(draw(NAMES), draw(st.sampled_from(OPERATORS)), tuple(values))
            for values in draw(st.lists(st.lists(SCALAR, max_size=2), max_size=2))
        ),
        tuple(
            ColumnOrder(draw(NAMES), draw(st.booleans()), draw(st.sampled_from(["first", "last"])))
            for _ in range(draw(st.integers(0, 2)))
        ),
        draw(NUMBERS),
        draw(st.none() | st.lists(SCALAR, max_size=3).map(tuple)),
        draw(NUMBERS),
        draw(st.none() | st.integers(-100, 100).map(float)),
    )


@given(asks(), st.sampled_from(WorkClass), st.integers(-50, 50), st.integers(-50, 50))
def test_a_question_comes_out_with_what_is_left_of_its_time(
    ask: Ask, work: WorkClass, sent_at: int, received_at: int
) -> None:
    payload = messages.encode_ask(SentAsk(work, ask), float(sent_at))
    received = messages.decode_ask(payload, float(received_at))
    expected = ask
    if ask.deadline is not None:
        expected = ask._replace(deadline=ask.deadline - sent_at + received_at)
    assert received.work is work
    assert exactly(tuple(received.ask)) == exactly(tuple(expected))
    assert all(type(each) is ColumnCondition for each in received.ask.where)
    assert all(type(each) is ColumnOrder for each in received.ask.order)


@given(SHAPES, st.integers(0, 1 << 31))
def test_a_shape_comes_out_as_it_went_in(shape: Shape, number: int) -> None:
    received_number, received = messages.decode_shape(messages.encode_shape(number, shape))
    assert received_number == number
    fields = ("table", "columns", "wire", "before")
    assert [getattr(received, each) for each in fields] == [getattr(shape, each) for each in fields]


@given(rows_of_values(), st.integers(0, 1 << 31), st.none() | NAMES, NAMES)
def test_a_part_of_an_answer_comes_out_as_it_went_in(
    rows: list[tuple[Any, ...]], number: int, visibility: str | None, server: str
) -> None:
    part = AnswerPart(number, list(rows), True, visibility, server)
    received = messages.decode_part(messages.encode_part(part, Wire.PYTHON))
    assert exactly(tuple(received)) == exactly(tuple(part))
    earlier = messages.decode_part(messages.encode_part(part._replace(is_last=False), Wire.PYTHON))
    assert exactly(tuple(earlier)) == exactly((number, list(rows), False, None, ""))


@given(st.lists(st.binary(max_size=20)))
def test_raw_rows_come_out_as_they_went_in(rows: list[bytes]) -> None:
    for wire in (Wire.PGOUTPUT, Wire.PGCOPY):
        part = AnswerPart(7, [memoryview(row) for row in rows])
        assert messages.decode_part(messages.encode_part(part, wire)).rows == rows


@given(st.builds(Registration, NAMES, NAMES, NAMES, NAMES))
def test_a_registration_comes_out_as_it_went_in(registration: Registration) -> None:
    assert messages.decode_registration(messages.encode_registration(registration)) == registration


@given(
    st.builds(
        Welcome,
        NAMES,
        st.integers(0, 1 << 40),
        st.integers(1, 10**6),
        st.builds(
            ReaderFeatures,
            st.booleans(),
            where=st.frozensets(st.sampled_from(OPERATORS)),
            order=st.booleans(),
            per_key=st.booleans(),
            after=st.booleans(),
        ),
        st.integers(1, 1000),
    )
)
def test_a_welcome_comes_out_as_it_went_in(welcome: Welcome) -> None:
    assert messages.decode_welcome(messages.encode_welcome(welcome)) == welcome


ERRORS: list[BridgeError] = [
    RetryLater("the system is away"),
    RetryLater("wait", after=2.5),
    SystemBusy("too many sessions"),
    DeadlineExceeded("ended after 2.0 s"),
    Rejected("bad_key", "one of the keys"),
    MissingRight("no_right", "GRANT SELECT"),
    AnswerMismatch("too many rows"),
    ConfigurationError("no such table"),
    LoginRefused("wrong password"),
    RowError("no number", column="NETWR", field="total", step="decimal"),
    Unsupported("no reads"),
    RemoteReadFailed("KeyError: 'x'"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_out_with_its_type_and_all_that_it_says(error: BridgeError) -> None:
    if isinstance(error, RetryLater):
        error.system = "erp"
    received = decode_error(encode_error(error))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert vars(received) == vars(error)


class _BusyToday(RetryLater):
    """A connector's own kind of error."""


def test_an_error_of_an_unknown_class_comes_out_as_the_nearest_known_one() -> None:
    received = decode_error(encode_error(_BusyToday("month end", after=3.0)))
    assert type(received) is RetryLater
    assert (str(received), received.after) == ("month end", 3.0)


def test_a_defect_comes_out_as_one_of_the_other_process() -> None:
    received = decode_error(encode_error(KeyError("shape")))
    assert type(received) is RemoteReadFailed
    assert "shape" in str(received)


@pytest.mark.parametrize(
    "decode",
    [
        lambda data: messages.decode_ask(data, 0.0),
        messages.decode_part,
        messages.decode_shape,
        messages.decode_registration,
        messages.decode_welcome,
        decode_error,
    ],
)
@given(data=st.data())
def test_no_bytes_end_in_anything_but_a_message_or_a_refusal(
    decode: Callable[[bytes], Any], data: st.DataObject
) -> None:
    payload = bytearray(
        data.draw(
            st.one_of(
                st.binary(max_size=40),
                asks().map(lambda ask: messages.encode_ask(SentAsk(WorkClass.AGENTS, ask), 0.0)),
                SHAPES.map(lambda shape: messages.encode_shape(1, shape)),
                st.sampled_from(ERRORS).map(encode_error),
                st.tuples(SCALAR, SCALAR, SCALAR, SCALAR).map(
                    lambda values: messages.encode_values({str(values[0]): values})
                ),
            )
        )
    )
    for _ in range(data.draw(st.integers(0, 3)) if payload else 0):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadFrame):
        decode(bytes(payload))
