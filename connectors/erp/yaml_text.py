"""Pieces of a drafted system file, quoted so that YAML reads them as intended. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/.]*")
#: YAML doesn't read these as text.
_NO_TEXTS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
MAX_LINE_CHARACTERS = 98


def yaml_scalar(value: str) -> str:
    """A YAML scalar that is read as this text."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXTS:
        return value
    return json.dumps(value, ensure_ascii=False)


def comment_lines(text: str, indent: int) -> Iterator[str]:
    """A comment's lines; no name of a service can end the comment."""
    start = " " * indent + "# "
    line = start
    for word in text.split():
        if len(line) + len(word) > MAX_LINE_CHARACTERS and line != start:
            yield line.rstrip()
            line = start + "  "
        line += f"{word} "
    yield line.rstrip()


def left_out_lines(reasons: Mapping[str, str]) -> Iterator[str]:
    """What can't be declared under `entities:`, each with its reason."""
    if reasons:
        yield "  # Left out:"
    for name, reason in reasons.items():
        yield from comment_lines(f"{name}: {reason}", 2)


def commands_heading(*notes: str) -> Iterator[str]:
    """The introduction of drafted commands, which are comments; `notes` are this system's own lines."""
    yield ""
    yield "# Commands that agents may send. Uncomment what they should be able to do, and say how"
    yield "# risky it is (tier: in_the_loop waits for a person's approval and is the default)."
    yield from (f"# {note}" for note in notes)
    yield "# commands:"
