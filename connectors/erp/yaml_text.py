"""Pieces of a systems file that a connector drafts: YAML that is read as what was meant. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/.]*")
#: Words that YAML reads as something else than text.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
WIDTH = 98
"""Characters of a comment's line."""


def yaml_scalar(value: str) -> str:
    """A YAML scalar that is read as this text."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def comment_lines(said: str, indent: int) -> Iterator[str]:
    """A comment's lines; whatever a service calls things, none of it leaves the comment."""
    start = " " * indent + "# "
    line = start
    for word in said.split():
        if len(line) + len(word) > WIDTH and line != start:
            yield line.rstrip()
            line = start + "  "
        line += f"{word} "
    yield line.rstrip()
