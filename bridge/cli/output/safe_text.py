"""Makes any text safe for a terminal: without control sequences, in any encoding."""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import Any, TextIO

from bridge.model.redaction import redact

#: Control characters except newline and tab, line separators, and direction controls.
_UNSAFE = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE_CHARACTER = re.compile(f"[{_UNSAFE}]")
#: As above, but colours are allowed: they are the program's own; data was escaped before.
_UNSAFE_OUTPUT = re.compile(rf"\x1b\[[0-9;]{{0,20}}m|([{_UNSAFE}])")
ERRORS = "bridge_escapes"


def safe_text(text: str) -> str:
    """`text` with everything that could control a terminal as JSON escapes."""
    return _UNSAFE_CHARACTER.sub(lambda match: _escape(match[0]), text)


def safe_facts(_logger: object, _method: str, facts: Any) -> Any:
    """A processor of log lines that makes all their texts safe."""
    return {
        name: safe_text(value) if isinstance(value, str) else value for name, value in facts.items()
    }


def raw_stream(stream: TextIO) -> TextIO:
    """The underlying stream, for progress bars and live screens."""
    return stream.beneath if isinstance(stream, SafeWriter) else stream


class SafeWriter(io.TextIOWrapper):
    """A standard stream that escapes control characters of data and, if it `redacts`, removes
    secrets: from stderr, which has only messages and tracebacks, of any library; not from stdout,
    whose rows and events were requested.

    Shares the buffer of the stream `beneath`. Characters missing in the encoding are written as
    escapes; ASCII, the fallback without a locale, is replaced by UTF-8, as click does.
    """

    def __init__(self, beneath: io.TextIOWrapper, *, redacts: bool = False) -> None:
        self._redacts = redacts
        self.beneath = beneath
        """A reference to the stream, which would close the buffer when it is collected."""
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
    """Make stdout and stderr safe: a character missing in the encoding is written as an escape
    instead of ending the process. Only for a process that is `bridgectl` itself.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, SafeWriter):
            setattr(sys, name, SafeWriter(stream, redacts=name == "stderr"))


def _escape(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:  # as in JSON: a surrogate pair
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
