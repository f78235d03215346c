"""Rows of a delta response that are removed, or are about links. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def removed_id(json: Mapping[str, Any]) -> str | None:
    """The address of a row that a delta response reports as removed; None: it reports no removal.

    V4.01 has `@removed`, and the address in `@id` or `@odata.id`; V4.0 a context that ends in
    `/$deletedEntity`, and the address in `id`, whatever the row's own properties are called.
    """
    gone = "@removed" in json or "@odata.removed" in json
    if not gone and not is_deleted_entity(json):
        return None
    return str(json.get("@odata.id") or json.get("@id") or json.get("id") or "")


DELETED_ENTITY_CONTROLS = frozenset({"id", "reason"})
"""What V4.0 calls control information of a removed row without a character before it."""


def is_deleted_entity(json: Mapping[str, Any]) -> bool:
    """Whether it is V4.0's form of a removed row, in which `id` and `reason` are no properties."""
    return _context(json).endswith("/$deletedEntity")


def _context(json: Mapping[str, Any]) -> str:
    return str(json.get("@odata.context") or json.get("@context") or "")


def is_link(json: Mapping[str, Any]) -> bool:
    """Whether an item of a delta response is about a link between rows, not about a row."""
    return _context(json).endswith(("/$link", "/$deletedLink"))
