"""Whether an answer is one to what was asked: rows against conditions, pages against orders. Pure.

A server that does not refuse an option may ignore it: filters, orders, page sizes. Connectors to such
servers hold what comes against what they asked for, and use what does not hold no more.

Equality is the server's own: it may ignore case, accents, width, spaces at the end or leading zeros.
So only what no server takes for equal counts as different; what can't be judged counts as equal.
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
"""Of whose order every server has the same idea. Texts, GUIDs and binaries are sorted in many ways."""
ONE_SECOND = timedelta(seconds=1)
"""Servers that keep whole seconds cut moments down to them."""
FLOAT_TOLERANCE = 1e-6
"""Relative: single precision has seven digits."""


class AnswerMismatch(Rejected):
    """What came is no answer to what was asked: the server ignores a part of it. Nothing of it is used;
    asking in another form may help, asking again does not.
    """

    def __init__(self, message: str) -> None:
        super().__init__("answer_mismatch", message)


def may_equal(value: Any, wanted: Any) -> bool:
    """False where no server would take `value` for equal to `wanted`."""
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
    """The number that a value is, or that its text says."""
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
        # A date and a timestamp: which zone's day it is can't be known here.
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
    # What is no ASCII even without its accents is sorted by tables that only the server has.
    return not (left.isascii() and right.isascii()) and (_fits(left, right) or _fits(right, left))


def _folded(text: str) -> str:
    """A text as the coarsest of the usual collations sees it."""
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
    """The keys of a question. `accepts` says of the values of a row whether it is asked for."""

    def __init__(self, keys: Iterable[Sequence[Any]]) -> None:
        self._keys = [tuple(key) for key in keys]
        self._exact: set[Values] = set()
        self._coarse: set[Values] = set()
        for key in self._keys:
            self._remember(key)

    def accepts(self, values: Sequence[Any]) -> bool:
        """False where the row can't be an answer, whatever equality the server has."""
        row = tuple(values)
        try:
            if row in self._exact or _coarse(row) in self._coarse:
                return True
        except TypeError:  # a value that can't be hashed
            pass
        if any(all(map(may_equal, row, key)) for key in self._keys):
            # The same again is not compared with each key once more.
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
    """The same for texts that may be equal, so that they are found without comparing each."""
    return tuple(_folded(value) if isinstance(value, str) else value for value in values)


def first_foreign(rows: Sequence[Sequence[Any]], keys: Iterable[Sequence[Any]]) -> int | None:
    """The index of the first row that is no answer to a question for `keys`; None: all may be."""
    asked_keys = AskedKeys(keys)
    return next((index for index, row in enumerate(rows) if not asked_keys.accepts(row)), None)


def first_repeated(keys: Iterable[Sequence[Any]]) -> int | None:
    """The index of the first key that came before; None: there is none."""
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
    """The index of the first key that is not greater than the one before it (`after`: than the
    cursor); None: there is none, as far as the types' order is the same everywhere. Unless `distinct`,
    equal ones may follow each other.
    """
    before = after
    for index, key in enumerate(keys):
        if before is not None and _descends(before, key, equal=distinct):
            return index
        before = key
    return None


def _descends(before: Sequence[Any], key: Sequence[Any], *, equal: bool) -> bool:
    """Whether `key` is certainly less than `before`, or (`equal`) the same."""
    for left, right in zip(before, key, strict=True):
        if _identical(left, right):
            continue
        if not _comparable(left, right):
            return False
        return bool(right < left)
    return equal


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
    if isinstance(left, (int, Decimal)):  # one of them is no number
        return False
    return type(left) is type(right) and isinstance(left, ORDERED_TYPES)


class AnswerSizes:
    """Which answers may have been cut short by a limit on rows that nobody reported.

    An answer of n rows shows that the limit is at least n, so that a smaller one was not cut by it.
    """

    def __init__(self) -> None:
        self._largest = 0

    def may_be_cut(self, rows: int, wanted: int | None = None) -> bool:
        """Whether more rows may be there than came in an answer that names no further ones.

        `wanted`: how many were asked for at most; as many as that are a whole page, no short one.
        """
        whole = wanted is not None and rows >= wanted
        cut = bool(rows) and not whole and rows >= self._largest
        self._largest = max(self._largest, rows)
        return cut
