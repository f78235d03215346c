"""A service's own words in the body of an error, for people: found in its beginning, in one pass. Pure."""

from __future__ import annotations

from typing import Final

from bridge.model.redaction import redact_cut

MAX_WORDS_CHARACTERS: Final = 400
MAX_SEARCHED_BYTES: Final = 2**16
"""An error says what it is about at its beginning. Patterns with gaps would search each position of a
body for an end that is missing: for minutes, while nothing else in the process runs.
"""


def one_line(text: str) -> str:
    """On one line, without secrets, cut if it is long."""
    beginning = redact_cut(text, MAX_WORDS_CHARACTERS * 10)
    line = " ".join(beginning.split())
    if len(line) <= MAX_WORDS_CHARACTERS and len(text) <= MAX_WORDS_CHARACTERS * 10:
        return line
    return f"{line[:MAX_WORDS_CHARACTERS]}..."


def line_of(body: bytes) -> str:
    """A body that is text, as `one_line`."""
    return one_line(body[:MAX_SEARCHED_BYTES].decode(errors="replace"))


def element_text(body: bytes, name: str) -> str:
    """The content of the first element of that name, in any namespace and any case, of HTML or XML;
    empty if there is none.
    """
    beginning = body[:MAX_SEARCHED_BYTES]
    folded, tag = beginning.lower(), name.lower().encode()
    at = folded.find(tag)
    while at >= 0 and not _is_opened(folded, at, len(tag)):
        at = folded.find(tag, at + 1)
    start = folded.find(b">", at) if at >= 0 else -1
    if start < 0:
        return ""
    # Redacted before it is cut: its end may be a part of a secret.
    content = beginning[start + 1 :].decode(errors="replace")
    # A tag within ends the words, which is no matter: they are for people.
    return one_line(redact_cut(content, MAX_WORDS_CHARACTERS * 10).partition("</")[0])


def _is_opened(folded: bytes, at: int, length: int) -> bool:
    """Whether the name that is here is an opening tag's."""
    before = folded[max(0, at - 32) : at]
    start = before.rfind(b"<")
    prefix = before[start + 1 :]
    named = start >= 0 and (not prefix or (prefix.endswith(b":") and prefix[:-1].isalnum()))
    return named and folded[at + length : at + length + 1] in {b">", b" ", b"\t", b"\r", b"\n"}
