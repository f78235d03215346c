"""Rows read together, of which one that is wrong spoils no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from bridge.model.errors import RowError
from bridge.model.read_demands import NO_DEMANDS, ReadDemands


class SupportsGetMany(Protocol):
    """Reads rows by their keys, as the gateways do."""

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any]:
        """The row of each key in order; None if there is none. Raises RowError for all."""


async def read_separately(
    reads: SupportsGetMany, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
) -> list[Any | RowError | None]:
    """For each key in order its row, None if there is none, or why the row can't be normalised.

    Reads that wait together are one query.
    """

    async def read_row(key: Any) -> Any:
        try:
            return (await reads.get_many(entity, [key], demands))[0]
        except RowError as error:
            return error

    return list(await asyncio.gather(*(read_row(key) for key in keys)))
