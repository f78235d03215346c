"""Values, texts, errors and bytes that nobody should send and somebody will."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from tests.example_counts import examples

quick = settings(max_examples=examples(150), deadline=None, derandomize=True, database=None)
"""Enough to find a kind, the same each time, and over in a second or two."""

HALF_EMOJI = "\ud83d"
LATE, EARLY = "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00"
"""Sentinels of the field, which are outside of the years that UTC has."""


class TextlessError(Exception):
    """Its text can't be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unprintable:
    """Has no text either."""

    def __repr__(self) -> str:
        raise ValueError("no repr")


def endless_list() -> list[Any]:
    """A list that holds itself."""
    items: list[Any] = []
    items.append(items)
    return items


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(st.characters(), max_size=20),
    st.binary(max_size=20),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(timezones=st.just(timezone(timedelta(hours=-5)))),
    st.uuids(),
    st.complex_numbers(),
    st.sampled_from(
        [
            HALF_EMOJI,
            f"late {HALF_EMOJI}",
            "--5",
            "9" * 5000,
            "٣",
            LATE,
            EARLY,
            "é",
            "\x00",
            "NaN",
            "1e300000000",
            "0E-300000000",
            Decimal("1e300000000"),
            Decimal("0E-300000000"),
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5))),
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            object(),
            str,
            ValueError("v"),
        ]
    ),
    st.builds(endless_list),
    st.builds(Unprintable),
    st.builds(lambda: 10**5000),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
        st.sets(st.integers(), max_size=2),
    ),
    max_leaves=6,
)

JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**64), 2**64),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(
            [
                *("--5", "9" * 5000, "-", "+5", "٣", LATE, EARLY, "é", "\x00", "NaN", "-Infinity"),
                *("1e300000000", "0E-300000000", "1e-300000000", "2026-02-30", "24:00", "{", "1_0"),
                *("10:00:00+05:00", "2026-01-31T10:00:00", "2026-01-31", "=", "A===", "sNaN"),
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)

ERRORS = st.one_of(
    st.builds(ValueError, st.text(st.characters(), max_size=30)),
    st.builds(KeyError, VALUES),
    st.builds(TextlessError),
    st.builds(lambda: ExceptionGroup(HALF_EMOJI, [TextlessError()])),
    st.builds(lambda: ValueError("x" * 3_000_000)),
    st.sampled_from(
        [
            ValueError(HALF_EMOJI),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
            OSError(5, HALF_EMOJI),
            RecursionError(),
            AssertionError(),
        ]
    ),
)

_NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
_LEAVES = st.sampled_from(
    [
        *("null", "boolean", "int", "long", "float", "double", "bytes", "string"),
        {"type": "long", "logicalType": "timestamp-micros"},
        {"type": "int", "logicalType": "date"},
        {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
        {"type": "string", "logicalType": "uuid"},
        {"type": "fixed", "name": "Fixed", "size": 3},
        {"type": "fixed", "name": "Nothing", "size": 0},
        {"type": "enum", "name": "Enum", "symbols": ["A"]},
    ]
)
SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda values: {"type": "map", "values": values}, inner),
        st.lists(inner, max_size=3),
        st.builds(
            lambda name, fields: {
                "type": "record",
                "name": name,
                "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
            },
            _NAMES,
            st.dictionaries(_NAMES, inner, max_size=3),
        ),
    ),
    max_leaves=8,
)
"""Schemas of other programs: valid ones, and some that are none."""
SCHEMA_TEXTS = st.one_of(
    SCHEMAS.map(json.dumps),
    st.text(max_size=20),
    st.sampled_from(
        [
            '"string"',
            "null",
            "[]",
            "{}",
            "7",
            "[" * 100_000,
            '{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}',
            '{"type":"array","items":"null"}',
        ]
    ),
)
