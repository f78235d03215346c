"""The condition of a requested snapshot, as the source knows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.encoded_text import condition_to_json
from bridge.plan.entity_table import EntityTable


def source_condition(table: EntityTable, where: Mapping[str, Any]) -> dict[str, Any]:
    """Columns with the values that they must equal, as a request's JSON holds them.

    where: fields of the entity with their values

    Raises what `EntityTable.outward` raises for a value that the source can't have.
    """
    fields = tuple(where)
    values = table.outward(fields, [where[field] for field in fields])
    return {
        column: condition_to_json(value)
        for column, value in zip(table.columns(fields), values, strict=True)
    }
