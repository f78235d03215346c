"""Values as sources have them, for hypothesis; and whether two are the same in every respect."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from bridge.plan.steps import MISSING

ZONES = st.sampled_from(
    [
        None,
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("UTC"),
        UTC,
        timezone(timedelta(hours=-5, minutes=-30, microseconds=1)),
    ]
)
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud83d\ude00", "\udcff", "\0", "ü€𝄞"]
)
SCALARS: list[st.SearchStrategy[Any]] = [
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([-(1 << 63), (1 << 63) - 1, 1 << 63, -(1 << 63) - 1, 1 << 2000]),
    st.floats(),
    TEXTS,
    st.binary(max_size=20),
    st.decimals(),
    st.sampled_from(
        [Decimal("1.50"), Decimal("-0"), Decimal("0E-9"), Decimal("1E+9"), Decimal("sNaN7")]
    ),
    st.dates(),
    st.times(timezones=ZONES),
    st.datetimes(timezones=ZONES, allow_imaginary=True),
    st.datetimes().map(lambda value: value.replace(fold=1)),
    st.timedeltas(),
    st.uuids(),
    st.just(MISSING),
]
SCALAR = st.one_of(SCALARS)
KEY = TEXTS | st.integers() | st.none()
VALUE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEY, inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def rows_of_values(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Rows whose columns mostly hold values of one type, some of them null."""
    width, count = draw(st.integers(0, 5)), draw(st.integers(0, 8))
    columns = []
    for _ in range(width):
        kind = draw(st.sampled_from(SCALARS) | st.just(VALUE))
        kind = draw(st.sampled_from([kind, kind | st.none()]))
        columns.append(draw(st.lists(kind, min_size=count, max_size=count)))
    return list(zip(*columns, strict=True)) if width else [()] * count


def exactly(value: Any) -> Any:
    """A form of the value that is equal only for the same value of the same type: bit by bit for
    floats, digit by digit for decimals, with zone and fold for times.
    """
    if isinstance(value, float):
        return ("float", math.isnan(value) or struct.pack("<d", value))
    if isinstance(value, Decimal):
        return ("decimal", value.as_tuple())
    if isinstance(value, (datetime, time)):
        zone = value.tzinfo
        name = zone.key if isinstance(zone, ZoneInfo) else zone and zone.utcoffset(None)
        return (type(value), value.replace(tzinfo=None), value.fold, type(zone), name)
    if isinstance(value, (list, tuple)):
        return (type(value), [exactly(item) for item in value])
    if isinstance(value, dict):
        return ("dict", [(exactly(key), exactly(item)) for key, item in value.items()])
    return (type(value), value)
