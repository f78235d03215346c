"""A walk over all rows that returned fewer than the service counts."""

from __future__ import annotations

from typing import NamedTuple


class IncompleteWalk(NamedTuple):
    """rows: how many a walk returned. counted: how many the service counts. Also a digest of the keys, in
    order.
    """

    fault: str
    counted: int
    rows: int
    digest: bytes
