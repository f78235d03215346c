"""Dates and waits of headers, whatever a service writes there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import MAX_RETRY_AFTER_S, RetryLater
from connectors.http.dates import YEARS, http_date, retry_after_seconds

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
PIECES = st.sampled_from(
    ["Sun, ", "06 ", "Nov ", "1994 ", "9999 ", "0000 ", "08:49:37 ", "24:60:61 ", "+9999", "-2400",
     "+99999999999", "GMT", "-0000", "²", "٣", " ", "\x00", "99999999999999999999"]
)  # fmt: skip
TEXTS = st.text(max_size=40) | st.lists(PIECES, max_size=9).map("".join)


@given(TEXTS)
def test_whatever_a_header_holds_is_a_moment_in_utc_or_none(text: str) -> None:
    moment = http_date(text)
    assert moment is None or (moment.tzinfo is UTC and moment.year in YEARS)


@given(TEXTS, TEXTS)
def test_whatever_a_service_wants_is_a_wait_of_a_day_at_most_or_none(after: str, date: str) -> None:
    wait = retry_after_seconds({"retry-after": after, "date": date}, NOW)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER_S


@given(st.datetimes(datetime(1971, 1, 2), datetime(8999, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_a_date_as_http_writes_it_is_read(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    assert http_date(format_datetime(whole, usegmt=True)) == whole


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("99999999999999999999", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun, 06 Nov 1994 08:49:37 +9999", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", MAX_RETRY_AFTER_S),
        ("Mon, 01 Jan 0001 00:00:00 +1200", 0.0),
        ("²", None),
        ("٣", None),
        ("1e9", None),
        ("-5", None),
        ("", None),
    ],
)
def test_how_long_a_service_is_left_alone(text: str, wait: float | None) -> None:
    assert retry_after_seconds({"retry-after": text}, NOW) == wait


@pytest.mark.parametrize("after", [1e20, float("inf"), 86_401.0])
def test_no_connector_can_idle_a_system_for_ever(after: float) -> None:
    assert RetryLater("busy", after=after).after == MAX_RETRY_AFTER_S


@pytest.mark.parametrize("after", [None, -1.0, float("nan")])
def test_a_wait_that_is_none_is_none(after: float | None) -> None:
    assert RetryLater("busy", after=after).after is None
