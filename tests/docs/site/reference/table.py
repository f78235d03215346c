"""Tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

_CODE: Final = re.compile(r"(`[^`]+`)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: object) -> str:
    """A text for people, on one line; what stands between backticks stays code."""
    parts = _CODE.split(" ".join(str(text).split()))
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\|<*\[\]_])", r"\\\1", part) for part in parts
    )


def code(text: object) -> str:
    """Inline code."""
    return f"`{text}`"
