"""A walk over all rows that gave fewer than the service counts."""

from __future__ import annotations

from typing import NamedTuple


class IncompleteWalk(NamedTuple):
    """Rows that a walk gave, of so many that are counted; a digest of their keys, in order."""

    fault: str
    counted: int
    rows: int
    digest: bytes
