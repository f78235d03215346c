"""The source's resume state: how far each entity set's changes were told. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from bridge.connector import Checkpoint
from bridge.model.errors import ConfigurationError
from connectors.odata.capture.pollers.poller import MARK, State

FORMAT = 2
LARGEST = 60_000
"""Bytes of a checkpoint; the port allows 64 kB."""


def pack(saved: Callable[[int], Mapping[str, State]], tables: int) -> Checkpoint:
    """`saved` gives the tables' states with at most so many marks each: as many as have room."""
    marks = LARGEST // (MARK * max(1, tables)) * 3 // 4
    while True:
        text = json.dumps({"format": FORMAT, "tables": saved(marks)}, separators=(",", ":"))
        whole = zlib.compress(text.encode(), 1)
        if len(whole) <= LARGEST:
            return whole
        if not marks:
            raise ConfigurationError(
                f"the resume state of {tables} entity sets takes {len(whole)} bytes, of which "
                f"{LARGEST} can be kept (the service's delta links are long): split the system's "
                "entities over two systems"
            )
        marks //= 2


def unpack(checkpoint: Checkpoint) -> dict[str, State]:
    """What `pack` was given. Raises ConfigurationError for another connector's checkpoint."""
    try:
        found: Any = json.loads(zlib.decompress(checkpoint))
        if found["format"] == FORMAT:
            tables: dict[str, State] = found["tables"]
            return tables
    except (zlib.error, ValueError, KeyError, TypeError):
        pass
    raise ConfigurationError(
        "the log's checkpoint is not of the odata connector, or of a newer version of it: give the "
        "system another name if it is another system now"
    )
