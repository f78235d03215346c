"""JSON of a service, within bounds of numbers, nesting and size. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from bridge.model.error_text import error_message
from connectors.http.errors import AnswerTooLarge, UnreadableAnswer

MAX_DIGITS: Final = 1_000
MAX_EXPONENT: Final = 6_144
"""That of decimal128: no database's numbers are larger, and a few characters more fill the memory."""
MAX_DEPTH: Final = 100
MAX_VALUES: Final = 4_000_000
"""A value of a few bytes takes a hundred in memory."""

_NUMBER = re.compile(r"[+-]?([0-9]{1,1000})?(?:\.([0-9]{0,1000}))?(?:[eE]([+-]?[0-9]{1,6}))?")
_SPECIAL = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_SHORT_NUMBER_CHARACTERS: Final = 40
_CONTAINERS: Final = (dict, list)

Hook = Callable[[dict[str, Any]], Any]


def decimal_of(text: str) -> Decimal:
    """The number of a text. Raises UnreadableAnswer if it is no number, or so large, so small or so exact
    that computing with it would take long.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        if _SPECIAL.fullmatch(text):
            return Decimal(text)
        raise UnreadableAnswer("it is no number, or one of too many digits")
    if len(match[1] or "") + len(match[2] or "") > MAX_DIGITS:
        raise UnreadableAnswer(f"a number of more than {MAX_DIGITS} digits")
    number = Decimal(text)
    exponent = abs(int(match[3] or 0))
    if max(exponent, abs(number.adjusted()) if number else 0) > MAX_EXPONENT:
        raise UnreadableAnswer("a number beyond 1e6144")
    return number


def _fraction(text: str) -> Decimal | str:
    """Of a number as JSON writes it; nearly all of them are short."""
    if len(text) <= _SHORT_NUMBER_CHARACTERS and "e" not in text and "E" not in text:
        return Decimal(text)
    try:
        return decimal_of(text)
    except UnreadableAnswer:
        return text


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


def parse_json(
    content: bytes | str,
    *,
    parse_float: Callable[[str], Any] = _fraction,
    object_hook: Hook | None = None,
) -> Any:
    """The value, with numbers that have a fraction as Decimal. A number that is out of bounds stays text,
    so that only its row is refused. Raises UnreadableAnswer (AnswerTooLarge for too many values),
    whatever the content is, and whatever `object_hook` raises on account of it.
    """
    separators = (b",", b"[", b"{") if isinstance(content, bytes) else (",", "[", "{")
    if sum(map(content.count, separators)) > MAX_VALUES:  # type: ignore[arg-type]
        raise AnswerTooLarge(f"more than {MAX_VALUES} values")
    try:
        try:
            value = json.loads(content, parse_float=parse_float, object_hook=object_hook)
        except json.JSONDecodeError:
            raise
        except ValueError:
            # A whole number of more digits than Python reads at once; asking for each costs time.
            value = json.loads(
                content, parse_float=parse_float, parse_int=_whole, object_hook=object_hook
            )
    except RecursionError:
        raise UnreadableAnswer("nested too deeply") from None
    except UnicodeDecodeError:
        raise UnreadableAnswer("no text in a Unicode encoding") from None
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise UnreadableAnswer(f"no JSON ({error_message(error, 200)})") from error
    if _deeper(value, MAX_DEPTH):
        raise UnreadableAnswer("nested too deeply")
    return value


def _deeper(value: Any, depth: int) -> bool:
    """Whether anything is nested deeper; one level of containers after the other."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth):
        if not level:
            return False
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) in _CONTAINERS
        ]
    return bool(level)
