"""Query options of a table: filters, orders, keyset pages. Pure, nothing percent-encoded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from bridge.connector import Condition
from bridge.model.errors import Rejected
from connectors.odata.metadata.model import Property, Version
from connectors.odata.protocol.entity_table import EntitySetTable
from connectors.odata.protocol.literal import literal

QueryOptions = dict[str, str]


def after_key(table: EntitySetTable, properties: Sequence[Property], values: Sequence[Any]) -> str:
    """A filter: rows greater than `values` in the order of `properties`, which must be total.

    `a gt 1 or (a eq 1 and (b gt 2 or (b eq 2 and c gt 3)))`
    """
    return _beyond("gt", table, properties, values)


def before_key(table: EntitySetTable, properties: Sequence[Property], values: Sequence[Any]) -> str:
    """A filter: rows less than `values` in the order of `properties`."""
    return _beyond("lt", table, properties, values)


def _beyond(
    operator: str, table: EntitySetTable, properties: Sequence[Property], values: Sequence[Any]
) -> str:
    first, *rest = properties
    text = literal(first, table.version, values[0])
    if not rest:
        return f"{first.name} {operator} {text}"
    inner = _beyond(operator, table, rest, values[1:])
    return f"({first.name} {operator} {text} or ({first.name} eq {text} and {inner}))"


def ranges_after(
    table: EntitySetTable, properties: Sequence[Property], values: Sequence[Any]
) -> list[str]:
    """Filters without `or`, of rows that follow each other: those greater than `values`.

    `a eq 1 and b eq 2 and c gt 3`, then `a eq 1 and b gt 2`, then `a gt 1`
    """
    return _ranges("gt", table, properties, values)


def ranges_before(
    table: EntitySetTable, properties: Sequence[Property], values: Sequence[Any]
) -> list[str]:
    """The same of rows less than `values`, the nearest first."""
    return _ranges("lt", table, properties, values)


def _ranges(
    operator: str, table: EntitySetTable, properties: Sequence[Property], values: Sequence[Any]
) -> list[str]:
    texts = [literal(p, table.version, value) for p, value in zip(properties, values, strict=True)]
    names = [p.name for p in properties]
    equal = [f"{name} eq {text}" for name, text in zip(names, texts, strict=True)]
    return [
        " and ".join([*equal[:last], f"{names[last]} {operator} {texts[last]}"])
        for last in reversed(range(len(names)))
    ]


def since_filter(table: EntitySetTable, p: Property, at: datetime) -> str:
    """A filter: rows whose property is that time or later."""
    return f"{p.name} ge {literal(p, table.version, at)}"


def condition_filter(table: EntitySetTable, where: Condition) -> str:
    """A filter: rows whose properties equal these values (or one of several each)."""
    parts = []
    for name, wanted in where.items():
        p = table.set.properties.get(name)
        if p is None:
            raise Rejected("bad_column", f"entity set {table.name!r} has no property {name!r}")
        values = condition_values(wanted)
        equal = [f"{name} eq {literal(p, table.version, value)}" for value in values]
        parts.append(f"({' or '.join(equal)})" if equal else "false")
    return " and ".join(parts)


def condition_values(wanted: Any) -> Collection[Any]:
    """The values that a condition takes for one property: one, or any of several."""
    return wanted if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]


def all_of(*filters: str) -> str:
    """All of these filters; empty ones don't count."""
    texts = [text for text in filters if text]
    return texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts)


def query_options(
    table: EntitySetTable,
    *,
    filtered: str = "",
    order: Sequence[Property] = (),
    top: int | None = None,
    select: str | None = None,
    counted: bool = False,
) -> QueryOptions:
    """The query options."""
    options: QueryOptions = {"$select": table.select if select is None else select}
    if filtered:
        options["$filter"] = filtered
    if order:
        options["$orderby"] = ",".join(p.name for p in order)
    if top is not None and table.set.toppable:
        options["$top"] = str(top)
    if counted:
        options |= count_option(table.version)
    if table.version == "v2":
        options["$format"] = "json"
    return options


def count_option(version: Version) -> QueryOptions:
    """The query option that asks how many rows there are."""
    return {"$count": "true"} if version == "v4" else {"$inlinecount": "allpages"}


def can_page_by_key(table: EntitySetTable) -> bool:
    """Whether pages can begin after a key, by the metadata."""
    return all(table.set.can_page_by(name) for name in table.set.key)
