"""Checks that a response matches its request: rows against conditions, pages against orders. Pure.

A server that does not refuse an option may silently ignore it: filters, orders, page sizes.
Connectors to such servers compare responses with the request, and stop using options that turn out
to be ignored.

Equality is the server's own: it may ignore case, accents, width, trailing spaces or leading zeros.
So only values that no server treats as equal count as different; undecidable ones count as equal.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from bridge.model.errors import Rejected
from bridge.plan.steps import MISSING

Values = tuple[Any, ...]

ORDERED_TYPES = (int, Decimal, datetime, date, time)
"""Types that all servers sort alike. Texts, GUIDs and binaries are sorted in many ways."""
ONE_SECOND = timedelta(seconds=1)
"""Servers that store whole seconds truncate timestamps to them."""
FLOAT_TOLERANCE = 1e-6
"""Relative tolerance: single precision has seven digits."""


class AnswerMismatch(Rejected):
    """The response doesn't match the request: the server ignores part of it. Nothing of it is used;
    a different form of the request may help, repeating it does not.
    """

    def __init__(self, message: str) -> None:
        super().__init__("answer_mismatch", message)


def may_equal(value: Any, wanted: Any) -> bool:
    """False if no server would treat `value` as equal to `wanted`."""
    if value is MISSING or wanted is MISSING:
        return True
    if value is None or wanted is None:
        return value is wanted
    if _identical(value, wanted):
        return True
    if isinstance(value, (list, dict)) or isinstance(wanted, (list, dict)):
        return True
    if isinstance(value, bool) and isinstance(wanted, bool):
        return False
    if isinstance(value, (datetime, date, time)) and isinstance(wanted, (datetime, date, time)):
        return _same_moment(value, wanted)
    if isinstance(value, (bytes, bytearray)) and isinstance(wanted, (bytes, bytearray)):
        return bytes(value).rstrip(b"\0 ") == bytes(wanted).rstrip(b"\0 ")
    numbers = _number(value), _number(wanted)
    if numbers[0] is not None and numbers[1] is not None:
        return _same_number(*numbers, exact=not isinstance(value, float))
    return _same_text(str(value), str(wanted))


def _identical(value: Any, wanted: Any) -> bool:
    try:
        return bool(value == wanted)
    except InvalidOperation:  # a signalling NaN
        return False


def _number(value: Any) -> Decimal | None:
    """The value as a number, parsed if it is text."""
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None


def _same_number(value: Decimal | None, wanted: Decimal | None, *, exact: bool) -> bool:
    if value is None or wanted is None:
        return False
    if exact:
        return value == wanted
    return math.isclose(float(value), float(wanted), rel_tol=FLOAT_TOLERANCE)


def _same_moment(value: date | time, wanted: date | time) -> bool:
    if isinstance(value, time) or isinstance(wanted, time):
        if not (isinstance(value, time) and isinstance(wanted, time)):
            return True
        return value.replace(microsecond=0) == wanted.replace(microsecond=0)
    if not (isinstance(value, datetime) and isinstance(wanted, datetime)):
        # A date and a timestamp: the zone of the day is unknown here.
        return abs(_day(value) - _day(wanted)) <= timedelta(days=1)
    if (value.tzinfo is None) != (wanted.tzinfo is None):
        return abs(_day(value) - _day(wanted)) <= timedelta(days=1)
    return abs(value - wanted) < ONE_SECOND


def _day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def _same_text(value: str, wanted: str) -> bool:
    left, right = _folded(value), _folded(wanted)
    if left == right:
        return True
    # Text that isn't ASCII even without its accents is sorted by tables that only the server has.
    return not (left.isascii() and right.isascii()) and (_fits(left, right) or _fits(right, left))


def _folded(text: str) -> str:
    """A text folded as by the coarsest of the usual collations."""
    plain = unicodedata.normalize("NFKD", text).lower()
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return plain.strip().lstrip("0")


def _fits(text: str, pattern: str) -> bool:
    """Whether `text` is `pattern` with anything in place of what is not ASCII."""
    parts = "".join(sign if sign.isascii() else "\0" for sign in pattern).split("\0")
    if len(parts) == 1:
        return text == pattern
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    start, end = len(first), len(text) - len(last)
    for part in middle:
        position = text.find(part, start, end)
        if position < 0:
            return False
        start = position + len(part)
    return True


class AskedKeys:
    """The keys of a request. `accepts` checks whether a row's values were requested."""

    def __init__(self, keys: Iterable[Sequence[Any]]) -> None:
        self._keys = [tuple(key) for key in keys]
        self._exact: set[Values] = set()
        self._coarse: set[Values] = set()
        for key in self._keys:
            self._remember(key)

    def accepts(self, values: Sequence[Any]) -> bool:
        """False if the row can't match any key, whatever equality the server has."""
        row = tuple(values)
        try:
            if row in self._exact or _coarse(row) in self._coarse:
                return True
        except TypeError:  # a value that can't be hashed
            pass
        if any(all(map(may_equal, row, key)) for key in self._keys):
            # Remembered, so that the same values aren't compared with each key again.
            self._remember(row)
            return True
        return False

    def _remember(self, row: Values) -> None:
        try:
            self._exact.add(row)
            self._coarse.add(_coarse(row))
        except TypeError:
            return


def _coarse(values: Sequence[Any]) -> Values:
    """The same value for texts that may be equal, to find them without comparing each."""
    return tuple(_folded(value) if isinstance(value, str) else value for value in values)


def first_foreign(rows: Sequence[Sequence[Any]], keys: Iterable[Sequence[Any]]) -> int | None:
    """The index of the first row that doesn't match a request for `keys`; None: all may match."""
    asked_keys = AskedKeys(keys)
    return next((index for index, row in enumerate(rows) if not asked_keys.accepts(row)), None)


def first_repeated(keys: Iterable[Sequence[Any]]) -> int | None:
    """The index of the first repeated key; None: there is none."""
    met: set[Values] = set()
    for index, key in enumerate(map(tuple, keys)):
        if key in met:
            return index
        met.add(key)
    return None


def first_misplaced(
    keys: Iterable[Sequence[Any]],
    after: Sequence[Any] | None = None,
    *,
    distinct: bool = True,
) -> int | None:
    """The index of the first key that is not greater than its predecessor (`after`: than the
    cursor); None: there is none, as far as all servers sort the types alike. Unless `distinct`,
    equal ones may follow each other.
    """
    before = after
    for index, key in enumerate(keys):
        if before is not None and _descends(before, key, equal=distinct):
            return index
        before = key
    return None


def _descends(before: Sequence[Any], key: Sequence[Any], *, equal: bool) -> bool:
    """Whether `key` is certainly less than `before`, or (`equal`) equal to it."""
    for left, right in zip(before, key, strict=True):
        if _identical(left, right):
            continue
        if not _comparable(left, right):
            return False
        return bool(right < left)
    return equal


def sorts_before(value: Any, other: Any) -> bool:
    """Whether every server sorts `value` before `other`; False also where servers differ."""
    return (
        value is not None
        and other is not None
        and not _identical(value, other)
        and _comparable(value, other)
        and bool(value < other)
    )


def _comparable(left: Any, right: Any) -> bool:
    if type(left) is int and type(right) is int:
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if isinstance(left, datetime) and isinstance(right, datetime):
        return (left.tzinfo is None) == (right.tzinfo is None)
    if isinstance(left, datetime) or isinstance(right, datetime):
        return False
    if _number(left) is not None and _number(right) is not None:
        return isinstance(left, (int, Decimal)) and isinstance(right, (int, Decimal))
    if isinstance(left, (int, Decimal)):  # one of them is not a number
        return False
    return type(left) is type(right) and isinstance(left, ORDERED_TYPES)


class AnswerSizes:
    """Which responses may have been truncated by an unreported limit on rows.

    A response of n rows shows that the limit is at least n, so a smaller one was not truncated by
    it.
    """

    def __init__(self) -> None:
        self._largest = 0

    def may_be_cut(self, rows: int, wanted: int | None = None) -> bool:
        """Whether there may be more rows than in a response that announces no further page.

        `wanted`: the maximum that was requested; that many rows are a full page, not a truncated
        one.
        """
        whole = wanted is not None and rows >= wanted
        cut = bool(rows) and not whole and rows >= self._largest
        self._largest = max(self._largest, rows)
        return cut
