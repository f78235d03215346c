"""Text of anybody's on a terminal: nothing in it steers the terminal, and any encoding can show it."""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import Any, TextIO

from bridge.model.redaction import redact

#: Control characters but newline and tab, line separators, and what turns the direction of text.
_UNSAFE = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE_CHARACTER = re.compile(f"[{_UNSAFE}]")
#: As above, but colours pass: they are the program's own, data has lost its escapes before.
_UNSAFE_OUTPUT = re.compile(rf"\x1b\[[0-9;]{{0,20}}m|([{_UNSAFE}])")
ERRORS = "bridge_escapes"


def safe_text(text: str) -> str:
    """`text` with whatever could steer a terminal written in the way of JSON's escapes."""
    return _UNSAFE_CHARACTER.sub(lambda match: _escape(match[0]), text)


def safe_facts(_logger: object, _method: str, facts: Any) -> Any:
    """A processor of log lines: every text in them is safe."""
    return {
        name: safe_text(value) if isinstance(value, str) else value for name, value in facts.items()
    }


def raw_stream(stream: TextIO) -> TextIO:
    """The stream beneath, for what draws on a terminal: progress bars and live screens."""
    return stream.beneath if isinstance(stream, SafeWriter) else stream


class SafeWriter(io.TextIOWrapper):
    """A standard stream through which no control character of data gets out, and, where it
    `redacts`, no secret: stderr has messages only, of whichever library, tracebacks too; stdout the
    rows and events that were asked for, which are not touched.

    Shares the buffer of the stream `beneath`. What an encoding can't show is written as its escape;
    ASCII, which is what is left where nobody set a locale, is written as UTF-8, as click does.
    """

    def __init__(self, beneath: io.TextIOWrapper, *, redacts: bool = False) -> None:
        self._redacts = redacts
        self.beneath = beneath
        """The stream, which would close the buffer when nobody holds it any more."""
        beneath.flush()
        is_ascii = codecs.lookup(beneath.encoding).name == "ascii"
        encoding = "utf-8" if is_ascii else beneath.encoding
        beneath.reconfigure(encoding=encoding, errors=ERRORS)
        super().__init__(
            beneath.buffer,
            encoding=encoding,
            errors=ERRORS,
            line_buffering=beneath.line_buffering,
            write_through=beneath.write_through,
        )

    def write(self, text: str, /) -> int:
        visible = redact(text) if self._redacts else text
        super().write(_UNSAFE_OUTPUT.sub(_escape_unless_colour, visible))
        return len(text)


def guard_streams() -> None:
    """From now on stdout and stderr are safe, and an encoding that does not have a character shows its
    escape instead of ending the process. For a process that is `bridgectl` and nothing else.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, SafeWriter):
            setattr(sys, name, SafeWriter(stream, redacts=name == "stderr"))


def _escape(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:  # as JSON does: two halves
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def _escape_unless_colour(match: re.Match[str]) -> str:
    return match[0] if match[1] is None else _escape(match[1])


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


codecs.register_error(ERRORS, _escape_unencodable)
