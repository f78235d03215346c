"""Markdown as forges read it, as Python-Markdown reads it. Blocks of code stay as they are.

Forges take a list or a table that stands right below a paragraph, and want `\\|` for a bar in a
table's code. Python-Markdown wants an empty line, and a plain bar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)
_ITEM: Final = re.compile(r"[-*] |\d+\. ")
_CODE: Final = re.compile(r"`[^`]+`")
_TRANSITION: Final = re.compile(r"^ *(\S+) --> (\S+?)(?:: *(.*))?$")


def to_python_markdown(text: str) -> str:
    """The same page for Python-Markdown."""
    parts: list[str] = []
    end, above = 0, ""
    for match in _BLOCK.finditer(text):
        parts.append(_prose(text[end : match.start()], above))
        parts.append(_diagram(match[2]) if match[1] == "mermaid" else match[0])
        end, above = match.end(), "```"
    return "".join([*parts, _prose(text[end:], above)])


def _prose(text: str, above: str) -> str:
    """Text between blocks. above: the line above it"""
    return "\n".join(_spaced(text.split("\n"), above))


def _spaced(lines: Iterable[str], before: str) -> Iterator[str]:
    in_list = False
    for line in lines:
        is_item, is_row = bool(_ITEM.match(line)), line.startswith("|")
        if before and ((is_item and not in_list) or (is_row and not before.startswith("|"))):
            yield ""
        in_list = is_item or (in_list and bool(line))
        before = line
        yield _CODE.sub(lambda code: code[0].replace("\\|", "|"), line) if is_row else line


def _diagram(text: str) -> str:
    """The transitions of a state diagram as a table: pages load no program that could draw it."""
    rows = [
        f"| {_state(match[1])} | {_state(match[2])} | {match[3] or ''} |"
        for line in text.splitlines()
        if (match := _TRANSITION.match(line))
    ]
    return "\n".join(["| from | to | when |", "|---|---|---|", *rows, ""])


def _state(name: str) -> str:
    return "·" if name == "[*]" else f"`{name}`"
