"""The source's resume state: up to where each entity set's changes were emitted. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from bridge.connector import Checkpoint
from bridge.model.errors import ConfigurationError
from connectors.erp.checkpoint_size import MAX_CHECKPOINT_BYTES, pack_to_fit
from connectors.odata.capture.pollers.poller import FINGERPRINT_BYTES, PollerState

FORMAT = 2


def pack(saved: Callable[[int], Mapping[str, PollerState]], tables: int) -> Checkpoint:
    """`saved` returns the tables' states with at most that many fingerprints each; as many are kept as
    fit.
    """

    def packed(marks: int) -> Checkpoint:
        text = json.dumps({"format": FORMAT, "tables": saved(marks)}, separators=(",", ":"))
        return zlib.compress(text.encode(), 1)

    return pack_to_fit(
        packed,
        MAX_CHECKPOINT_BYTES // (FINGERPRINT_BYTES * max(1, tables)) * 3 // 4,
        lambda size: (
            f"the resume state of {tables} entity sets takes {size} bytes, of which "
            f"{MAX_CHECKPOINT_BYTES} can be kept (the service's delta links are long): split the "
            "system's entities over two systems"
        ),
    )


def unpack(checkpoint: Checkpoint) -> dict[str, PollerState]:
    """The states that `pack` got. Raises ConfigurationError for another connector's checkpoint."""
    try:
        document: Any = json.loads(zlib.decompress(checkpoint))
        if document["format"] == FORMAT:
            tables: dict[str, PollerState] = document["tables"]
            return tables
    except (zlib.error, ValueError, KeyError, TypeError):
        pass
    raise ConfigurationError(
        "the log's checkpoint is not of the odata connector, or of a newer version of it: give the "
        "system another name if it is another system now"
    )
