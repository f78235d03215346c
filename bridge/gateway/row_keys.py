"""The keys of an answer's rows, in the source's own form, as they were requested."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import Any

from bridge.connector import Shape
from bridge.gateway.source_rows import SourceRows
from bridge.plan.steps import Wire
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]


def row_keys(
    table: EntityMapping,
    fields: Sequence[str],
    columns: Sequence[str],
    answer: SourceRows,
    requested: Collection[Values],
) -> list[Values]:
    """The key of each row by its `fields`, which are made of `columns`. Pure.

    A raw row that holds a requested key, value by value, is of that key: no database takes equal
    values for different ones. The key of any other is that of its fields, taken back to the
    source's form, where `7` and `007` are the same.
    """
    raw_key = _raw_key(answer.shape, columns)
    keys = []
    for raw, row in zip(answer.raw, answer.rows, strict=True):
        key = raw_key(raw) if raw_key is not None else None
        if key is None or not _is_among(key, requested):
            key = table.outward(fields, [row[field] for field in fields])
        keys.append(key)
    return keys


def raw_key_values(answer: SourceRows, columns: Sequence[str]) -> list[Any] | None:
    """The raw value of the key's column in each row; None for keys of several columns, and where a
    raw row can't be looked into.
    """
    if len(columns) != 1 or answer.shape.wire is not Wire.PYTHON:
        return None
    for index, column in enumerate(answer.shape.columns):
        if column.name == columns[0]:
            return [raw[index] for raw in answer.raw]
    return None


def _is_among(key: Values, requested: Collection[Values]) -> bool:
    """False also for values that have no hash, as no requested key has."""
    try:
        return key in requested
    except TypeError:
        return False


def _raw_key(shape: Shape, columns: Sequence[str]) -> Callable[[Any], Values] | None:
    """What takes these columns out of a raw row; None for rows that are bytes."""
    if shape.wire is not Wire.PYTHON:
        return None
    names = [column.name for column in shape.columns]
    if not columns or any(column not in names for column in columns):
        return None
    indexes = [names.index(column) for column in columns]
    if len(indexes) == 1:
        [index] = indexes
        return lambda raw: (raw[index],)
    return itemgetter(*indexes)
