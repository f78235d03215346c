"""One agent's reads within its budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from bridge.gateway.limits.read_budget import ReadBudget
from bridge.model.names import split_entity
from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.row_selection import ALL_ROWS, RowSelection
from bridge.observe import Observer, ReadRefused
from bridge.ports.entity_reads import EntityReads


class BudgetedReads:
    """`EntityReads` that count each key, each row whose relation is followed and each query, whatever
    answers them. They raise RetryLater or Rejected (`over_budget`) once the budget is used up.
    """

    def __init__(
        self,
        reads: EntityReads,
        budget: ReadBudget,
        observer: Observer,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._reads = reads
        self._budget = budget
        self._observer = observer
        self._clock = clock

    async def get(self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS) -> Any | None:
        """As `EntityReads.get`."""
        self._take(entity, 1, demands)
        return await self._reads.get(entity, key, demands)

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any | None]:
        """As `EntityReads.get_many`."""
        self._take(entity, len(keys), demands)
        return await self._reads.get_many(entity, keys, demands)

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """As `EntityReads.related`."""
        self._take(entity, 1, demands)
        return await self._reads.related(entity, row, relation, demands)

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
        selection: RowSelection = ALL_ROWS,
    ) -> list[Any]:
        """As `EntityReads.query`."""
        self._take(entity, 1, demands)
        return await self._reads.query(entity, where, limit, demands, selection)

    def _take(self, entity: str, count: int, demands: ReadDemands) -> None:
        refusal = self._budget.take(self._clock(), count, demands.cause)
        if refusal is None:
            return
        system = split_entity(entity)[0]
        self._observer(ReadRefused(system, "agents", "budget", str(refusal)))
        raise refusal
