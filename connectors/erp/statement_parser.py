"""Statements of commands: the grammar that connectors share. Pure.

A statement is a verb, its target, and pairs `name=value`. A value is a `:parameter`, 'text' (a
quote is doubled), a number, `true`, `false` or `null`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from bridge.model.errors import ConfigurationError

_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Parameter:
    """`:name`: a value of the command's arguments or its key."""

    name: str

    def value_in(self, arguments: Mapping[str, Any]) -> Any:
        """Its value. Raises ConfigurationError if the command declares no such argument."""
        if self.name not in arguments:
            declared = ", ".join(sorted(arguments)) or "nothing"
            raise ConfigurationError(
                f":{self.name} is not declared as an argument of the command (declared: {declared})"
            )
        return arguments[self.name]


Scalar = Parameter | str | bool | None
"""Numbers are kept as text: the field's type decides how they are read."""
ListValue = TypeVar("ListValue")
"""The value of `[...]` in a grammar."""


def token_pattern(name: str, characters: str) -> re.Pattern[str]:
    """A token of a grammar whose names and special characters match these regular expressions."""
    return re.compile(
        rf"""\s*(?:
          (?P<name>{name})
        | :(?P<parameter>[A-Za-z_]\w*)
        | (?P<text>'(?:[^']|'')*')
        | (?P<number>[+-]?\d+(?:\.\d+)?)
        | (?P<character>{characters})
        )""",
        re.VERBOSE,
    )


class StatementParser(Generic[ListValue]):
    """Reads one statement from left to right. Its errors are ConfigurationErrors that quote it."""

    token: ClassVar[re.Pattern[str]]
    field_word: ClassVar[str]
    """What this system calls a pair's name, such as "a field"."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._tokens = list(self._split())
        self._next_index = 0

    def _read_pairs(self, end: str, *, bare: bool) -> tuple[tuple[str, Scalar | ListValue], ...]:
        """Pairs up to the character `end`, or, if that is empty, to the end of the statement. `bare`: the
        first may be a value alone, whose name is "".
        """
        pairs: list[tuple[str, Scalar | ListValue]] = []
        while not self._is_over(end):
            if pairs and not self._take(","):
                raise self._error("a comma is missing")
            name, value = self._read_pair(bare=bare and not pairs)
            if name in dict(pairs):
                raise self._error(f"{name} is given twice")
            pairs.append((name, value))
        return tuple(pairs)

    def _is_over(self, end: str) -> bool:
        return self._take(end) if end else self._next_index >= len(self._tokens)

    def _read_pair(self, *, bare: bool) -> tuple[str, Scalar | ListValue]:
        following = self._tokens[self._next_index + 1 : self._next_index + 2]
        if bare and following != [("character", "=")]:
            return "", self._read_scalar()
        name = self._read_name(self.field_word)
        if not self._take("="):
            raise self._error(f"{name} is missing its value: {name}=:value")
        return name, self._read_list() if self._take("[") else self._read_scalar()

    def _read_list(self) -> ListValue:
        """The list whose opening bracket was taken; only in grammars that have that character."""
        raise self._error("a list is no value here")

    def _read_scalar(self) -> Scalar:
        kind, text = self._read_token("a value")
        if kind == "parameter":
            return Parameter(text)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return text
        if kind == "name" and text in _CONSTANTS:
            return _CONSTANTS[text]
        raise self._error(f"{text!r} is no value: use :parameter, 'text', a number, true or null")

    def _read_name(self, what: str) -> str:
        kind, text = self._read_token(what)
        if kind != "name":
            raise self._error(f"{what} is missing before {text!r}")
        return text

    def _read_token(self, what: str) -> tuple[str, str]:
        """The next token's kind and text; `what` should be there."""
        if self._next_index >= len(self._tokens):
            raise self._error(f"{what} is missing at its end")
        self._next_index += 1
        return self._tokens[self._next_index - 1]

    def _take(self, character: str) -> bool:
        """Whether the next token is this character, which is skipped then."""
        is_next = self._tokens[self._next_index : self._next_index + 1] == [
            ("character", character)
        ]
        self._next_index += is_next
        return is_next

    def _split(self) -> Iterator[tuple[str, str]]:
        position = 0
        while position < len(self._text):
            match = self.token.match(self._text, position)
            if match is None or match.lastgroup is None:
                raise self._unreadable(self._text[position : position + 20].strip())
            yield match.lastgroup, match[match.lastgroup]
            position = match.end()

    def _unreadable(self, rest: str) -> ConfigurationError:
        return self._error(f"{rest!r} can't be read")

    def _error(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"the statement {self._text!r}: {why}")
