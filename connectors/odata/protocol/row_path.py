"""How URLs name rows, and values to ask by; ready to stand in a path. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.model.errors import Rejected
from connectors.odata.metadata.model import EntitySet, Version
from connectors.odata.protocol.literal import literal
from connectors.odata.protocol.request import path_segment


def row_path(of: EntitySet, version: Version, key: Mapping[str, Any]) -> str:
    """The path of the row with this key, percent-encoded. Raises Rejected (`bad_key`)."""
    lacking = [name for name in of.key if key.get(name) is None]
    if lacking:
        raise Rejected("bad_key", f"entity set {of.name!r}: the key lacks {', '.join(lacking)}")
    parts = literals(of, version, of.key, [key[name] for name in of.key])
    if len(parts) == 1:
        return f"{of.name}({path_segment(parts[0])})"
    named = (f"{name}={path_segment(part)}" for name, part in zip(of.key, parts, strict=True))
    return f"{of.name}({','.join(named)})"


def literals(
    of: EntitySet, version: Version, columns: Sequence[str], values: Sequence[Any]
) -> tuple[str, ...]:
    """URL literals of values of these columns, not encoded. Raises Rejected (`bad_key`)."""
    try:
        return tuple(
            literal(of.properties[name], version, one)
            for name, one in zip(columns, values, strict=True)
        )
    except Rejected as error:
        raise Rejected(error.code, f"entity set {of.name!r}: {error}") from None


def check_filterable(of: EntitySet, columns: Iterable[str]) -> None:
    """Raises Rejected (`bad_key`) for a column that is not there or that no filter may name."""
    for name in columns:
        if name not in of.properties:
            raise Rejected("bad_key", f"entity set {of.name!r} has no property {name!r}")
        if not of.can_filter(name):
            raise Rejected(
                "bad_key",
                f"entity set {of.name!r} can't be asked for by {name!r}: the service's metadata "
                "says that it may not be filtered by",
            )
