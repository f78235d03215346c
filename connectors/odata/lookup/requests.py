"""Lookups of many keys as few requests: filters in chunks that fit into URLs, or one read per key. Pure.

| form | looks like | taken by |
|---|---|---|
| `in` | `ID in ('1','2')` | V4.01, and many of V4.0 |
| `or` | `ID eq '1' or ID eq '2'` | every service that filters |
| `single` | `Orders('1')` | every service, by the whole key |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from connectors.odata.metadata.model import Version
from connectors.odata.protocol.entity_table import EntitySetTable
from connectors.odata.protocol.query import count_option
from connectors.odata.protocol.request import ODataRequest, with_query
from connectors.odata.protocol.row_path import check_filterable, literals, row_path

LookupForm = Literal["in", "or", "single"]

MAX_OR_ALTERNATIVES = 50
"""Alternatives of an `or` chain: servers parse them recursively, or into as many joins."""

MAX_IN_VALUES = 500
"""Values of an `in` list: databases of services accept one or two thousand."""


def forms_of(version: Version) -> tuple[LookupForm, ...]:
    """The forms to try, the best first."""
    return ("in", "or", "single") if version == "v4" else ("or", "single")


def form_fits(form: LookupForm, table: EntitySetTable, columns: Sequence[str]) -> bool:
    """Whether this form can filter by these columns."""
    if form == "in":
        return len(columns) == 1
    return form == "or" or set(columns) == set(table.set.key)


def lookup_requests(
    table: EntitySetTable,
    form: LookupForm,
    columns: Sequence[str],
    keys: Sequence[tuple[Any, ...]],
    *,
    longest: int,
    limit: int | None = None,
    counted: bool = False,
) -> list[ODataRequest]:
    """The reads that find the rows of `keys`, at most `limit` each. Raises Rejected (`bad_key`).

    `longest`: characters of a URL's part below the service's root. `counted`: the answer says how many
    rows there are, whatever it holds.
    """
    if form == "single":
        select = _select(table, columns, longest)
        named = [dict(zip(columns, key, strict=True)) for key in keys]
        paths = [row_path(table.set, table.version, key) for key in named]
        return [ODataRequest("GET", with_query(path, select)) for path in paths]
    check_filterable(table.set, columns)
    literal_keys = [literals(table.set, table.version, columns, key) for key in keys]
    more = {} if limit is None else {"$top": str(limit)}
    if counted:
        more |= count_option(table.version)
    longest -= len(with_query("", more))
    select = _select(table, columns, longest)
    return [
        ODataRequest("GET", with_query(table.name, {**select, "$filter": text, **more}))
        for text in _filters(table, form, columns, literal_keys, longest=longest, select=select)
    ]


def _select(table: EntitySetTable, columns: Sequence[str], longest: int) -> dict[str, str]:
    """The used columns, and those of the filter, so that rows can be compared with the request; nothing
    if naming them would leave the keys less than half of the URL: then all columns come, and the others
    are ignored.
    """
    names = [*table.select.split(","), *(name.partition("/")[0] for name in columns)]
    select = {"$select": ",".join(dict.fromkeys(names))}
    return select if len(with_query("", select)) * 2 <= longest else {}


def _filters(
    table: EntitySetTable,
    form: LookupForm,
    columns: Sequence[str],
    literal_keys: Sequence[tuple[str, ...]],
    *,
    longest: int,
    select: dict[str, str],
) -> Iterator[str]:
    most = MAX_IN_VALUES if form == "in" else MAX_OR_ALTERNATIVES
    chunk: list[str] = []
    empty = {**select, "$filter": _joined(form, columns, [])}
    room = longest - len(with_query(table.name, empty))
    left = room
    for key in literal_keys:
        text = key[0] if form == "in" else _equal(columns, key)
        # As in the URL, with the separator to the next one.
        size = len(with_query("", {"": text})) + (0 if form == "in" else len("%20or%20"))
        if chunk and (size > left or len(chunk) >= most):
            yield _joined(form, columns, chunk)
            chunk, left = [], room
        chunk.append(text)
        left -= size
    if chunk:
        yield _joined(form, columns, chunk)


def _equal(columns: Sequence[str], values: Sequence[str]) -> str:
    pairs = [f"{name} eq {value}" for name, value in zip(columns, values, strict=True)]
    return pairs[0] if len(pairs) == 1 else f"({' and '.join(pairs)})"


def _joined(form: LookupForm, columns: Sequence[str], texts: Sequence[str]) -> str:
    if form == "in":
        return f"{columns[0]} in ({','.join(texts)})"
    return " or ".join(texts)
