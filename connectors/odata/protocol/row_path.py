"""How URLs name rows and values, ready for use in a path. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.model.errors import Rejected
from connectors.odata.metadata.model import EntitySet, Version
from connectors.odata.protocol.literal import literal
from connectors.odata.protocol.request import path_segment


def row_path(entity_set: EntitySet, version: Version, key: Mapping[str, Any]) -> str:
    """The path of the row with this key, percent-encoded. Raises Rejected (`bad_key`)."""
    missing = [name for name in entity_set.key if key.get(name) is None]
    if missing:
        raise Rejected(
            "bad_key", f"entity set {entity_set.name!r}: the key is missing {', '.join(missing)}"
        )
    parts = literals(entity_set, version, entity_set.key, [key[name] for name in entity_set.key])
    if len(parts) == 1:
        return f"{entity_set.name}({path_segment(parts[0])})"
    named = (
        f"{name}={path_segment(part)}" for name, part in zip(entity_set.key, parts, strict=True)
    )
    return f"{entity_set.name}({','.join(named)})"


def literals(
    entity_set: EntitySet, version: Version, columns: Sequence[str], values: Sequence[Any]
) -> tuple[str, ...]:
    """URL literals of values of these columns, not encoded. Raises Rejected (`bad_key`)."""
    try:
        return tuple(
            literal(entity_set.properties[name], version, value)
            for name, value in zip(columns, values, strict=True)
        )
    except Rejected as error:
        raise Rejected(error.code, f"entity set {entity_set.name!r}: {error}") from None


def check_filterable(entity_set: EntitySet, columns: Iterable[str]) -> None:
    """Raises Rejected (`bad_key`) for a column that is not there or that no filter may name."""
    for name in columns:
        if name not in entity_set.properties:
            raise Rejected("bad_key", f"entity set {entity_set.name!r} has no property {name!r}")
        if not entity_set.can_filter(name):
            raise Rejected(
                "bad_key",
                f"entity set {entity_set.name!r} can't be looked up by {name!r}: the service's metadata "
                "forbid to filter by it",
            )
