"""Peers of the gateway: data loaders, given the batch function that their documentation shows.

Each reads through the same Reader and the same plan as the gateway, and finds rows by their key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiodataloader import DataLoader
from strawberry.dataloader import DataLoader as StrawberryLoader

from bridge.connector import Ask, Reader
from bridge.plan.entity_table import EntityTable

LoadBatch = Callable[[list[Any]], Awaitable[list[Any]]]


def batch_function(reader: Reader, table: EntityTable) -> LoadBatch:
    """Rows of keys of one field, aligned with them; None for a key that has no row."""
    fields = table.entity.key
    [key_field] = fields
    columns = table.columns(fields)

    async def load_rows(keys: list[Any]) -> list[Any]:
        source_keys = [table.outward(fields, (key,)) for key in keys]
        answer = await reader.fetch(Ask(table.table, columns, source_keys))
        rows: dict[Any, Any] = {}
        for raw in answer.rows:
            row = table.row(answer.shape, raw)
            rows[row[key_field]] = row
        return [rows.get(key) for key in keys]

    return load_rows


def list_batch_function(reader: Reader, table: EntityTable, field: str) -> LoadBatch:
    """Lists of rows that hold values of one field, aligned with them."""
    columns = table.columns((field,))

    async def load_rows(values: list[Any]) -> list[Any]:
        source_keys = [table.outward((field,), (value,)) for value in values]
        answer = await reader.fetch(Ask(table.table, columns, source_keys))
        rows: dict[Any, list[Any]] = {}
        for raw in answer.rows:
            row = table.row(answer.shape, raw)
            rows.setdefault(row[field], []).append(row)
        return [rows.get(value, []) for value in values]

    return load_rows


def aiodataloader(reader: Reader, table: EntityTable) -> Any:
    """A new loader, as for each request: it remembers whatever it has loaded."""
    return DataLoader(batch_function(reader, table), max_batch_size=reader.max_keys)


def strawberry(reader: Reader, table: EntityTable) -> Any:
    """As `aiodataloader`."""
    return StrawberryLoader(load_fn=batch_function(reader, table), max_batch_size=reader.max_keys)


async def load_many(loader: Any, keys: Sequence[Any]) -> list[Any]:
    """What both call `load_many`."""
    return list(await loader.load_many(keys))
