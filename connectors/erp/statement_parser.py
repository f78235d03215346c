"""Statements of commands in words: what those of OData and of Tryton have in common. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from bridge.model.errors import ConfigurationError

_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Parameter:
    """`:name`: what the command's arguments or its key hold."""

    name: str


Scalar = Parameter | str | bool | None
"""Numbers stand as text: the field's type says what they are."""


def token_pattern(name: str, signs: str) -> re.Pattern[str]:
    """A token of a grammar whose names and signs look like that (regular expressions)."""
    return re.compile(
        rf"""\s*(?:
          (?P<name>{name})
        | :(?P<parameter>[A-Za-z_]\w*)
        | (?P<text>'(?:[^']|'')*')
        | (?P<number>[+-]?\d+(?:\.\d+)?)
        | (?P<sign>{signs})
        )""",
        re.VERBOSE,
    )


class StatementParser:
    """Reads one statement from left to right. Raises ConfigurationError that shows it."""

    token: ClassVar[re.Pattern[str]]

    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._tokens = list(self._split())
        self._at = 0

    def _value(self) -> Scalar:
        kind, text = self._next("a value")
        if kind == "parameter":
            return Parameter(text)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return text
        if kind == "name" and text in _WORDS:
            return _WORDS[text]
        raise self._wrong(f"{text!r} is no value: use :parameter, 'text', a number, true or null")

    def _name(self, what: str) -> str:
        kind, text = self._next(what)
        if kind != "name":
            raise self._wrong(f"{what} is missing before {text!r}")
        return text

    def _next(self, what: str) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._wrong(f"{what} is missing at its end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, sign: str) -> bool:
        found = self._tokens[self._at : self._at + 1] == [("sign", sign)]
        self._at += found
        return found

    def _split(self) -> Iterator[tuple[str, str]]:
        at = 0
        while at < len(self._text):
            match = self.token.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise self._unreadable(self._text[at : at + 20].strip())
            yield match.lastgroup, match[match.lastgroup]
            at = match.end()

    def _unreadable(self, rest: str) -> ConfigurationError:
        return self._wrong(f"{rest!r} can't be read")

    def _wrong(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"the statement {self._text!r}: {why}")
