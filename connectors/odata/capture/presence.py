"""Checks whether rows that a listing no longer shows are really gone, by reading each by its key."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.errors import Rejected
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.response import row_of
from connectors.odata.protocol.row_path import row_path

MAX_KEYS_PER_PAGE = 100
"""More rows than this are left to a comparison with the log, which reads many keys with one request."""


async def present_keys(
    reader: PageReader, table: EntitySetTable, keys: Sequence[Row]
) -> set[Row] | None:
    """The keys of which rows exist; None: unclear. Only a 404 means that a row is gone, and only the row
    itself that it exists. Raises RetryLater, ConfigurationError as the client.
    """
    present: set[Row] = set()
    names = [p.name for p in table.key]
    for key in keys:
        try:
            path = row_path(table.set, table.version, dict(zip(names, key, strict=True)))
            answer = await reader.get(path, {"$select": table.select})
        except Rejected as error:
            if error.code == "not_found":
                continue
            return None
        row = row_of(answer.body)
        if row is None or table.key_of(complete_row(table, row)) != key:
            return None
        present.add(key)
    return present
