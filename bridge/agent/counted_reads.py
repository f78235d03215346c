"""Reads of a test's handlers, counted with the line that makes them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from bridge.agent.read_rounds import ReadKind, ReadRounds, ReadSite
from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.row_selection import ALL_ROWS, RowSelection
from bridge.ports.entity_reads import EntityReads

_OWN_FOLDER: Final = str(Path(__file__).parent)
_STANDARD_FOLDER: Final = str(Path(sys.modules["contextlib"].__file__ or "").parent)


class CountedReads:
    """Implements EntityReads over another one; `rounds` counts what handlers read."""

    def __init__(self, reads: EntityReads, rounds: ReadRounds) -> None:
        self._reads = reads
        self._rounds = rounds

    async def get(self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS) -> Any | None:
        """As the port says."""
        with self._counted(demands, "get", entity):
            return await self._reads.get(entity, key, demands)

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any | None]:
        """As the port says."""
        with self._counted(demands, "get_many", entity):
            return await self._reads.get_many(entity, keys, demands)

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """As the port says."""
        with self._counted(demands, "related", entity, (relation,)):
            return await self._reads.related(entity, row, relation, demands)

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
        selection: RowSelection = ALL_ROWS,
    ) -> list[Any]:
        """As the port says."""
        with self._counted(demands, "query", entity, tuple(sorted(where))):
            return await self._reads.query(entity, where, limit, demands, selection)

    @contextmanager
    def _counted(
        self, demands: ReadDemands, kind: ReadKind, entity: str, by: tuple[str, ...] = ()
    ) -> Iterator[None]:
        cause = demands.cause
        if cause is None:
            yield
            return
        site = ReadSite(cause.handler, calling_line(inspect.currentframe()), kind, entity, by)
        self._rounds.begin(cause, site)
        try:
            yield
        finally:
            self._rounds.end(cause, site)


def calling_line(frame: FrameType | None) -> str:
    """`file.py:17` of the handler's code that awaits this; empty: it awaits it in another task."""
    while frame is not None:
        file = frame.f_code.co_filename
        if Path(file).parent == Path(_STANDARD_FOLDER) / "asyncio":
            return ""
        if not file.startswith((_OWN_FOLDER, _STANDARD_FOLDER)):
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
