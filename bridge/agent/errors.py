"""Errors of reads by agents."""

from __future__ import annotations

from typing import Any

from bridge.model.errors import BridgeError


class NotFound(BridgeError):
    """The legacy system has no row with that key."""

    def __init__(self, entity: str, key: Any) -> None:
        super().__init__(f"{entity} has no row with the key {key!r}")
        self.entity = entity
        self.key = key
