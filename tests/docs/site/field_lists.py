"""Docstrings name fields and parameters a line each; pages show these lines as lists."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

_FIELD: Final = re.compile(r"(`?\w+`?(?:(?:, | / )`?\w+`?)*): (.*)")
_ROW: Final = re.compile(r"  (\w+) {2,}(\S.*)")


def field_lists(text: str, names: Collection[str]) -> str:
    """`text` with each line `name: what it is` as an item of a list, where all its names are `names`;
    and rows of two columns, indented below a sentence, as items too. Pure.
    """
    return "\n".join(_listed(text.split("\n"), names))


def _listed(lines: list[str], names: Collection[str]) -> Iterator[str]:
    in_item, before = False, ""
    for line in lines:
        item = _item(line, names)
        if item:
            if before and not in_item:
                yield ""
            yield item
        else:
            yield f"    {line.strip()}" if in_item and line else line
        in_item = bool(item) or (in_item and bool(line))
        before = line


def _item(line: str, names: Collection[str]) -> str:
    row = _ROW.fullmatch(line)
    if row:
        return f"- `{row[1]}`: {row[2]}"
    field = _FIELD.fullmatch(line)
    name = field[1].replace("`", "") if field else ""
    if not field or not {*re.split(", | / ", name)} <= {*names}:
        return ""
    return f"- `{name}`: {field[2]}"


def with_types(text: str, types: Mapping[str, str]) -> str:
    """`text` with the type of each field in its item of the list; fields that it doesn't name get an
    item at the end. Pure.
    """
    left = dict(types)

    def item(match: re.Match[str]) -> str:
        annotation = left.pop(match[1], "")
        return f"- `{match[1]}` (`{annotation}`):" if annotation else match[0]

    text = re.sub(r"^- `(\w+)`:", item, text, flags=re.MULTILINE)
    items = [f"- `{name}` (`{annotation}`)" for name, annotation in left.items()]
    return "\n".join([text, "", *items]) if items else text
