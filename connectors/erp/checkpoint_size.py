"""A checkpoint that fits into the log's limit. Pure."""

from __future__ import annotations

from collections.abc import Callable

from bridge.connector import Checkpoint
from bridge.model.errors import ConfigurationError

MAX_CHECKPOINT_BYTES = 60_000
"""The port allows 64 kB."""


def pack_to_fit(
    pack: Callable[[int], Checkpoint], max_entries: int, too_large: Callable[[int], str]
) -> Checkpoint:
    """The result of `pack` with as many entries per table as fit: `max_entries`, halved until they do.
    Raises ConfigurationError with the text of `too_large` (called with the size in bytes) if it doesn't
    fit even without entries.
    """
    while len(packed := pack(max_entries)) > MAX_CHECKPOINT_BYTES:
        if not max_entries:
            raise ConfigurationError(too_large(len(packed)))
        max_entries //= 2
    return packed
