"""Unescapes a text and maps each resulting character to its place in the original. Pure.

Percent escapes, HTML entities and backslash escapes (JSON, Python, C) are undone together, as a
text may contain any of them; texts that were escaped twice are unescaped again. Line breaks
inserted by encoders (Base64, quoted-printable) and the zeros of UTF-16 are removed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_ROUNDS: Final = 6
"""A secret may itself look escaped, in a text that is escaped twice."""

_ESCAPE = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<wide>(?:%u[0-9A-Fa-f]{4})+)"
    r"|(?P<entity>&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};))"
    r"|(?P<bytes>(?:\\x[0-9A-Fa-f]{2})+)"
    r"|(?P<octal>(?:\\[0-3][0-7]{2})+)"
    r"|(?P<unicode>(?:\\u[0-9A-Fa-f]{4})+|\\U[0-9A-Fa-f]{8})"
    r"|(?P<braced>\\u\{[0-9A-Fa-f]{1,6}\})"
    r"|(?P<sign>\\[\"'\\/bfnrtav0])"
    r"|(?P<joint>\x00|=\r?\n|\r?\n(?:(?<=[A-Za-z0-9+/_-]{60}\n)|(?<=[A-Za-z0-9+/_-]{60}\r\n))"
    r"(?=[A-Za-z0-9+/_=-]))"
)
_ESCAPE_SIGN = re.compile(r"[%&\\\x00\n]")
_SIGNS: Final = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "a": "\a",
    "v": "\v",
    "0": "\0",
}


@dataclass(frozen=True, slots=True)
class UnescapedText:
    """`text`, and for each of its characters where it begins and ends in the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters from `start` to before `end` are in the original."""
        return self.starts[start], self.ends[end - 1]


def unescaped(text: str) -> Iterator[UnescapedText]:
    """`text` with its escapes undone once, then twice, ... while there are any."""
    if not _ESCAPE_SIGN.search(text):
        return
    current = UnescapedText(text, list(range(len(text))), list(range(1, len(text) + 1)))
    for _ in range(MAX_ROUNDS):
        following = _undone(current)
        if following is None:
            return
        yield following
        current = following


def _undone(current: UnescapedText) -> UnescapedText | None:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    end = 0
    for escape in _ESCAPE.finditer(current.text):
        characters = list(_characters(escape))
        if not characters and escape.lastgroup != "joint":
            continue
        start = escape.start()
        pieces.append(current.text[end:start])
        starts += current.starts[end:start]
        ends += current.ends[end:start]
        at = start
        for character, length in characters:
            pieces.append(character)
            starts += [current.starts[at]] * len(character)
            at += length
            ends += [current.ends[at - 1]] * len(character)
        end = escape.end()
    if not end:
        return None
    pieces.append(current.text[end:])
    return UnescapedText("".join(pieces), starts + current.starts[end:], ends + current.ends[end:])


def _characters(escape: re.Match[str]) -> Iterator[tuple[str, int]]:
    """The characters of a run of escapes, each with the length of its escape."""
    written = escape[0]
    match escape.lastgroup:
        case "percent":
            yield from _of_bytes(bytes.fromhex(written.replace("%", "")), 3)
        case "bytes":
            yield from _of_bytes(bytes.fromhex(written.replace("\\x", "")), 4)
        case "octal":
            yield from _of_bytes(bytes(int(part, 8) for part in written[1:].split("\\")), 4)
        case "joint":
            return
        case "wide":
            yield from _of_units([int(part, 16) for part in written[2:].split("%u")])
        case "braced":
            if (number := int(written[3:-1], 16)) <= 0x10FFFF:
                yield chr(number), len(written)
        case "entity" if written[1] == "#":
            digits = written[2:].rstrip(";")
            number = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
            if number <= 0x10FFFF:
                yield chr(number), len(written)
        case "entity":
            character = html.unescape(written)
            if character != written:
                yield character, len(written)
        case "unicode" if written[1] == "U":
            number = int.from_bytes(bytes.fromhex(written[2:]))
            if number <= 0x10FFFF:
                yield chr(number), len(written)
        case "unicode":
            yield from _of_units([int(part, 16) for part in written[2:].split("\\u")])
        case _:
            yield _SIGNS.get(written[1], written[1]), 2


def _of_bytes(content: bytes, length: int) -> Iterator[tuple[str, int]]:
    """The characters of `content` as UTF-8, or else one per byte; each byte is written by `length`
    characters.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
        yield from ((character, length) for character in text)
        return
    yield from ((character, length * len(character.encode())) for character in text)


def _of_units(units: list[int]) -> Iterator[tuple[str, int]]:
    """The characters of UTF-16 units, each written by six characters."""
    at = 0
    while at < len(units):
        pair = units[at : at + 2]
        if len(pair) == 2 and 0xD800 <= pair[0] < 0xDC00 <= pair[1] < 0xE000:
            yield chr(0x10000 + ((pair[0] - 0xD800) << 10) + (pair[1] - 0xDC00)), 12
            at += 2
        else:
            yield chr(units[at]), 6
            at += 1
