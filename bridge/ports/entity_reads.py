"""Reads of legacy systems by entity, as agents use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.row_selection import ALL_ROWS, RowSelection


class EntityReads(Protocol):
    """Reads rows of any entity of any system.

    `entity` is `system.entity`. A key is a mapping of key fields to values, or the bare value for
    a key of one field. `demands`: how fresh the answer has to be, by when, and on whose behalf.

    Every method raises RetryLater while the system is unavailable, DeadlineExceeded for an answer
    that didn't come in time, and Rejected for a query that can never be answered. All may be called
    by many tasks at once: calls that wait at the same time may share a query. Cancelling a call
    cancels no other.
    """

    async def get(self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS) -> Any | None:
        """The row, or None."""

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any | None]:
        """The rows, aligned with `keys`; None for each that doesn't exist."""

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """The rows that a relation of `row` leads to: a list (to many), or a row or None (to one)."""

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
        selection: RowSelection = ALL_ROWS,
    ) -> list[Any]:
        """At most `limit` rows whose fields equal `where`; a list of values matches any of them, a
        mapping of operators (`<` `<=` `>` `>=` `between` `in`) what they say.
        """
