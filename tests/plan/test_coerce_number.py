"""Numbers of a few characters that would fill the memory when they are written out."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal

import pytest

from bridge.model.conversion_error import ConversionError
from bridge.model.types import parse_type
from bridge.plan.coerce import coercer, text_of

HUGE = [
    Decimal("1e300000000"),
    Decimal("-1e300000000"),
    Decimal("1e-300000000"),
    Decimal("0e-9999999"),
]


@pytest.mark.parametrize("kind", ["integer", "decimal(10,2)", "string", "double", "float"])
@pytest.mark.parametrize("value", HUGE)
def test_a_number_beyond_all_bounds_is_refused_and_costs_nothing(kind: str, value: Decimal) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ConversionError):
            coercer(parse_type(kind))(value)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("value", [Decimal("1e131071"), Decimal("1e-16383"), Decimal("0.00")])
def test_every_number_that_a_database_can_hold_has_its_text(value: Decimal) -> None:
    assert Decimal(text_of(value)) == value
