"""What a read names: the values of keys and conditions, and relations. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from bridge.gateway.key_lookup import Fields, Rows
from bridge.model.errors import Rejected
from bridge.model.provenance import TracedRow
from bridge.model.types import Relation
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]


def key_values(table: EntityMapping, key: Any) -> Values:
    """The values of a key in the order of the entity's key fields. Raises Rejected (`bad_key`)."""
    names = table.entity.key
    if isinstance(key, Mapping):
        if set(key) != set(names):
            raise Rejected(
                "bad_key",
                f"the key of {table.entity.qualified} has the fields {', '.join(names)}, "
                f"not {', '.join(map(str, key)) or 'none'}",
            )
        return tuple(key[name] for name in names)
    if len(names) != 1:
        raise Rejected(
            "bad_key",
            f"the key of {table.entity.qualified} has the fields {', '.join(names)}; give all of "
            "them by name",
        )
    return (key,)


def condition_values(
    table: EntityMapping, where: Mapping[str, Any], fields: Fields, limit: int, max_keys: int
) -> dict[Values, Values]:
    """The combinations of values that match a query: in the source's own form -> as they were asked
    for. Raises Rejected.
    """
    if limit < 1:
        raise Rejected("bad_query", f"limit is {limit}; it must be at least 1")
    if not where:
        return {}
    choices = [
        value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        for value in (where[field] for field in fields)
    ]
    combinations = list(product(*choices))
    by_source = {table.outward(fields, values): values for values in combinations}
    if any(None in key for key in by_source):
        # In SQL nothing equals null, so the result would silently be empty.
        raise Rejected("bad_query", f"rows of {table.entity.qualified} can't be queried by null")
    if len(combinations) > max_keys:
        raise Rejected(
            "bad_query",
            f"the conditions on {table.entity.qualified} are {len(combinations)} combinations; one "
            f"query takes {max_keys}",
        )
    return by_source


def outward_many(table: EntityMapping, fields: Fields, keys: Sequence[Values]) -> list[Values]:
    """Values of these fields in the source's own form."""
    if len(fields) == 1:
        return table.outward_many(fields[0], [value for (value,) in keys])
    return [table.outward(fields, values) for values in keys]


def only_row(table: EntityMapping, key: Any, rows: Rows | None) -> TracedRow | None:
    """The one row of a key, or None. Raises Rejected (`ambiguous_key`)."""
    if rows and len(rows) > 1:
        raise Rejected(
            "ambiguous_key",
            f"{table.entity.qualified} has {len(rows)} rows with the key {key!r}: its "
            "declared key is not unique in the table",
        )
    return rows[0] if rows else None


def relation_of(table: EntityMapping, name: str) -> Relation:
    """The relation of that name. Raises Rejected (`unknown_relation`)."""
    for relation in table.entity.relations:
        if relation.name == name:
            return relation
    names = ", ".join(relation.name for relation in table.entity.relations) or "none"
    raise Rejected(
        "unknown_relation",
        f"{table.entity.qualified} has no relation {name!r}; it has {names}",
    )
