"""Fits a value to a number type: exactly, or not at all. Every function raises Refusal."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation
from typing import Any

from bridge.model.conversion_error import ConversionError, wrong_type
from bridge.model.types import FieldType

MIN_LONG, MAX_LONG = -(2**63), 2**63 - 1
#: Enough digits for every decimal type; inexact results are errors.
EXACT = Context(prec=5000, Emax=10**6, Emin=-(10**6), traps=[InvalidOperation, Inexact])

MAX_DIGITS = 200_000
"""More than any database's number has; a few characters such as `1e300000000` would fill the memory."""

_SINGLE, _BITS = struct.Struct("<f"), struct.Struct("<I")
#: Below it, what stands between two floats has more digits than are ever written.
_BETWEEN_FROM = 2.0**50
_FRACTION_BITS = 0x7FFFFF
_WIDE = Context(prec=5000)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


def integer(value: Any) -> int:
    """A whole number of 64 bits."""
    if type(value) is int:
        number = value
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        number = int(value)
    elif isinstance(value, (bool, float, Decimal, str, int)):
        exact = number_of(value)
        if exact != exact.to_integral_value():
            raise ConversionError("a fraction, where an integer is declared", value)
        number = int(exact)
    else:
        raise wrong_type("integer", value)
    if not MIN_LONG <= number <= MAX_LONG:
        raise ConversionError("a number beyond 64 bits", value)
    return number


def number_of(value: Any) -> Decimal:
    """The finite number that `value` is, exactly; floats by their shortest decimal form."""
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int):
        number = Decimal(int(value))
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = Decimal(value.strip())
    else:
        raise ConversionError(f"a {type(value).__name__} that is no number", value)
    if not number.is_finite():
        raise ConversionError(f"{number} is no number that a decimal can hold")
    bounded(number)
    return number


def bounded(number: Decimal) -> None:
    """Refuses a finite number whose digits, written out, nobody could keep."""
    if abs(number.adjusted()) > MAX_DIGITS:
        raise ConversionError(f"a number of more than {MAX_DIGITS} digits")


def double(value: Any) -> float:
    """A float that says the same number."""
    if isinstance(value, float):
        return value
    if isinstance(value, str) and (special := _special(value)) is not None:
        return special
    if isinstance(value, Decimal) and not value.is_finite():
        return float(value)
    exact = number_of(value)
    nearest = float(exact)
    if not math.isfinite(nearest) or Decimal(repr(nearest)) != exact:
        raise ConversionError(
            "a number that loses digits as a double; declare a decimal type", value
        )
    return nearest


def _special(text: str) -> float | None:
    return {
        "nan": math.nan,
        "infinity": math.inf,
        "inf": math.inf,
        "-infinity": -math.inf,
        "-inf": -math.inf,
    }.get(text.strip().lower())


def single(value: Any) -> float:
    """A 32-bit float that says the same number."""
    wide = double(value)
    if not math.isfinite(wide):
        return wide
    try:
        narrow: float = struct.unpack("<f", struct.pack("<f", wide))[0]
    except OverflowError:
        raise ConversionError("a number beyond 32-bit floats; declare double", value) from None
    if (
        narrow == wide
        or any(float(f"{narrow:.{n}g}") == wide for n in range(6, 10))
        or shortest_single(narrow) == wide
    ):
        return narrow
    raise ConversionError("a number that loses digits as a 32-bit float; declare double", value)


def shortest_double(value: float) -> str:
    """The fewest digits that give a finite float back, as PostgreSQL writes it: unlike Python, it
    takes none that stand exactly between two floats.
    """
    text = repr(value)
    if abs(value) < _BETWEEN_FROM:
        return text
    exact, before = Decimal(value), Decimal(math.nextafter(value, 0.0))
    after = Decimal(math.nextafter(value, math.copysign(math.inf, value)))
    after = after if after.is_finite() else _WIDE.subtract(_WIDE.add(exact, exact), before)
    between = {_middle(exact, before), _middle(exact, after)}
    return text if Decimal(text) not in between else str(_shortest(exact, before, after, 17))


def shortest_single(value: float) -> float:
    """The float whose digits are the fewest that give this 32-bit one back, as PostgreSQL writes it:
    0.1, where a `real` widened to 64 bits is 0.10000000149011612.
    """
    if not math.isfinite(value) or not value:
        return value
    (bits,) = _BITS.unpack(_SINGLE.pack(value))
    before = _SINGLE.unpack(_BITS.pack(bits - 1))[0]
    after = _SINGLE.unpack(_BITS.pack(bits + 1))[0]
    after = after if math.isfinite(after) else 2 * value - before
    if not bits & _FRACTION_BITS:
        # The float before is nearer than the one after, so that the nearest digits may not do.
        return float(_shortest(Decimal(value), Decimal(before), Decimal(after), 9))
    # These are exact: 64 bits hold the middle of two floats of 32.
    low, high = sorted(((value + before) / 2, (value + after) / 2))
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return next((wide for wide in map(float, texts) if low < wide < high), value)


def _middle(left: Decimal, right: Decimal) -> Decimal:
    return _WIDE.divide(_WIDE.add(left, right), Decimal(2))


def _shortest(exact: Decimal, before: Decimal, after: Decimal, most: int) -> Decimal:
    """The number of fewest digits that is nearer to `exact` than to its neighbours."""
    low, high = sorted((_middle(exact, before), _middle(exact, after)))
    for digits in range(1, most):
        unit = Decimal((0, (1,), exact.adjusted() - digits + 1))
        lower = exact.quantize(unit, ROUND_FLOOR, _WIDE)
        inside = [number for number in (lower, _WIDE.add(lower, unit)) if low < number < high]
        if inside:
            return min(inside, key=lambda number: abs(_WIDE.subtract(number, exact)))
    return exact.quantize(Decimal((0, (1,), exact.adjusted() - most + 1)), ROUND_HALF_EVEN, _WIDE)


def decimal(field_type: FieldType) -> Callable[[Any], Decimal]:
    """The function that fits to this precision and scale."""
    unit = Decimal((0, (1,), -field_type.scale))
    limit = Decimal((0, (1,), field_type.precision - field_type.scale))

    def fit(value: Any) -> Decimal:
        exact = number_of(value)
        try:
            rounded = exact.quantize(unit, context=EXACT)
        except Inexact:
            raise ConversionError(
                f"more than {field_type.scale} digits after the point", value
            ) from None
        except InvalidOperation:
            raise ConversionError(f"a number that overflows {field_type}", value) from None
        if not -limit < rounded < limit:
            raise ConversionError(f"a number that overflows {field_type}", value)
        return rounded or rounded.copy_abs()

    return fit
