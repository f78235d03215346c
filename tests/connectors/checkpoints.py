"""The log's checkpoint as checks read it."""

from __future__ import annotations

from bridge.connector import Checkpoint, ReadCheckpoint


def fixed_checkpoint(checkpoint: Checkpoint | None) -> ReadCheckpoint:
    """Of a bridge that isn't running."""

    async def read() -> Checkpoint | None:
        return checkpoint

    return read
