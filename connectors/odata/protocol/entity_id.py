"""Keys in addresses of rows: `Orders('1')`, `Lines(order='1',position=2)`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from connectors.odata.metadata.model import Property, Version
from connectors.odata.protocol.property_values import row_value

_PART = re.compile(
    r"\s*(?:(?P<name>\w+)\s*=\s*)?"
    r"(?:(?P<prefix>[A-Za-z_.][\w.]*)?'(?P<quoted>(?:[^']|'')*)'|(?P<bare>[^,'=()]+))\s*(?:,|$)"
)
_V2_SUFFIX = {"Edm.Int64": "Ll", "Edm.Decimal": "Mm", "Edm.Double": "Dd", "Edm.Single": "Ff"}


def key_of_entity_id(
    address: str, key: Sequence[Property], version: Version
) -> tuple[object, ...] | None:
    """The row values of the key in a row's address (an id, percent-encoded); None: it isn't there.

    The key is in the last segment, as `.../Orders('1')` or, key as segment, `.../Orders/1`.
    """
    text = unquote(address.split("?", maxsplit=1)[0].rstrip("/"))
    if not text.endswith(")"):
        last = text.rpartition("/")[2]
        return (
            (row_value(key[0], version, _plain(key[0], version, last)),) if len(key) == 1 else None
        )
    start = _opening(text)
    parts = list(_PART.finditer(text[start + 1 : -1]))
    if len(parts) != len(key) or "".join(part[0] for part in parts) != text[start + 1 : -1]:
        return None
    named = {part["name"]: part for part in parts}
    values = []
    for p in key:
        part = parts[0] if len(key) == 1 else named.get(p.name)
        if part is None:
            return None
        quoted = part["quoted"]
        if quoted is not None:
            values.append(row_value(p, version, quoted.replace("''", "'")))
        else:
            values.append(row_value(p, version, _plain(p, version, part["bare"].strip())))
    return tuple(values)


def _opening(text: str) -> int:
    """Where the last segment's parenthesis opens: quoted text may hold any."""
    at, inside = len(text) - 2, False
    while at >= 0:
        if text[at] == "'":
            inside = not inside
        elif text[at] == "(" and not inside:
            return at
        at -= 1
    return 0


def _plain(p: Property, version: Version, text: str) -> object:
    """An unquoted literal as JSON would have it."""
    if p.edm == "Edm.Boolean":
        return text == "true"
    if version == "v2":
        return text.rstrip(_V2_SUFFIX.get(p.edm, ""))
    return text
