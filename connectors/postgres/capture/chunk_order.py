"""In which order a table is read in chunks, and after which values one begins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.model.errors import ConfigurationError
from connectors.postgres.catalog.tables import CatalogTable


def chunk_order(
    table: CatalogTable, declared_key: Sequence[str], after: list[Any] | None, system_text: str
) -> tuple[tuple[str, ...], list[str | None] | None]:
    """By which columns a chunk is ordered, and the values after which it begins.

    A job continues in the order in which it began, which an earlier release took from the table
    instead of its index; where that is no order of the key any more, it begins again. Raises
    ConfigurationError, which begins with `system_text`, for a table without a key that is streamed.
    """
    key = table.primary_key or tuple(declared_key)
    if not key:
        raise ConfigurationError(
            f"{system_text}: table {table.configured!r} has no primary key that the stream "
            "sends, so it can't be read in chunks; declare `key` with columns that are unique "
            "and never null"
        )
    unsent = set(key).difference(column.name for column in table.attributes)
    if unsent:
        raise ConfigurationError(
            f"{system_text}: table {table.configured!r}: the key column "
            f"{', '.join(map(repr, sorted(unsent)))} is not published, so that no event would "
            "have a key; publish it, or declare another `key`"
        )
    if not after:
        return key, None
    if isinstance(after[0], str) or after[0] is None:
        # As an earlier release wrote it: no names.
        in_table = [column.name for column in table.attributes if column.name in table.primary_key]
        began = tuple(in_table) or key
        values = after
    else:
        began = tuple(name for name, _ in after)
        values = [value for _, value in after]
    if set(began) != set(key) or len(values) != len(began):
        return key, None
    return began, values
