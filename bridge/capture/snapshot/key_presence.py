"""Asks a system which of some keys it has rows of.

A key counts as absent only where the system answered the question: an answer with rows that nobody
asked for is none. Compared in the source's own form, as the gateway does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.capture.contract import CaptureDependencies
from bridge.capture.entity import CapturedEntity
from bridge.connector import Reader, Rows, Shape, Snapshot
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import ConfigurationError, Rejected, RowError
from bridge.plan.entity_table import EntityTable
from bridge.plan.make_plan import entity_type

MAX_KEYS_PER_SNAPSHOT_READ = 100

Values = tuple[Any, ...]


@dataclass(slots=True)
class PresenceAnswer:
    """Of one batch of framed keys: those without a row, those with one, and why keys of it could
    not be asked for.
    """

    absent: list[bytes] = field(default_factory=list)
    present: int = 0
    unasked: list[str] = field(default_factory=list)


class SnapshotReader:
    """`bridge.connector.Reader` of a connector that has none: reads chunks with a condition."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def max_keys(self) -> int:
        """A list of values where the key is one column; a composite key goes alone."""
        return MAX_KEYS_PER_SNAPSHOT_READ

    async def fetch(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[Values],
        limit: int | None = None,
    ) -> Rows:
        """As `bridge.connector.Reader.fetch`."""
        rows: list[Any] = []
        shape: Shape | None = None
        single = len(columns) == 1
        conditions = (
            [{columns[0]: [key[0] for key in keys]}]
            if single
            else [dict(zip(columns, key, strict=True)) for key in keys]
        )
        for condition in conditions:
            # One more than there can be shows an answer to another question.
            most = limit or (len(keys) if single else 1) + 1
            chunk = await self._snapshot.chunk(table, condition, None, most)
            shape = chunk.shape
            rows += chunk.rows
        if shape is None:
            raise ValueError("no keys were given")
        return Rows(shape, rows)

    async def close(self) -> None:
        """Close the connection."""
        await self._snapshot.close()


async def open_reader(deps: CaptureDependencies) -> Reader:
    """What the system is asked with."""
    if deps.connector.capabilities().read:
        return await deps.connector.reader(deps.system)
    return SnapshotReader(await deps.connector.snapshot(deps.system))


class KeyPresence:
    """Asks about keys of one entity. Raises RetryLater while the system is away; ConfigurationError
    or Rejected where it can't be asked at all.
    """

    def __init__(
        self, reader: Reader, entity: CapturedEntity, shape: Shape, mask_key: bytes | None
    ) -> None:
        self._reader = reader
        spec = entity.spec
        self._name = spec.qualified
        self._table = EntityTable(spec, entity.type or entity_type(spec, shape), shape, mask_key)
        self._fields = self._table.entity.key
        try:
            self._columns = self._table.columns(self._fields)
        except Rejected as error:
            raise ConfigurationError(
                f"{self._name}: the system can't be asked whether rows are gone ({error}), so no "
                "delete is written for what its table doesn't show; give the entity a key that "
                "leads back to the source's"
            ) from error

    async def ask(self, keys: Sequence[bytes]) -> PresenceAnswer:
        """At most `max_keys` framed keys."""
        answer = PresenceAnswer()
        by_values: dict[Values, list[bytes]] = {}
        for key in keys:
            try:
                by_values.setdefault(self._table.key(key), []).append(key)
            except (Rejected, ValueError) as error:
                answer.unasked.append(str(error))
        if by_values:
            await self._ask(by_values, list(by_values), answer)
        return answer

    async def _ask(
        self, by_values: dict[Values, list[bytes]], key_values: list[Values], answer: PresenceAnswer
    ) -> None:
        try:
            rows = await self._reader.fetch(self._table.table, self._columns, key_values)
            row_values = [self._values(rows, raw) for raw in rows.rows]
        except RowError:
            # One of the rows can't be normalised: it is there all the same.
            if len(key_values) == 1:
                answer.present += len(by_values[key_values[0]])
                return
            await self._halves(by_values, key_values, answer)
            return
        except AnswerMismatch as error:
            if len(key_values) == 1:
                raise ConfigurationError(
                    f"{self._name}: whether rows are gone can't be asked for: {error}"
                ) from error
            await self._halves(by_values, key_values, answer)
            return
        except Rejected as error:
            if len(key_values) == 1:
                answer.unasked.append(str(error))
                return
            await self._halves(by_values, key_values, answer)
            return
        unasked = set(row_values).difference(key_values)
        if unasked and len(key_values) > 1:
            await self._halves(by_values, key_values, answer)
            return
        if unasked and len(row_values) > 1:
            raise ConfigurationError(
                f"{self._name}: asked for one row by its key, the system answers with "
                f"{len(row_values)} others: it ignores the condition, so that no delete can be confirmed"
            )
        # A single other row may equal the key by the column's collation: then the key is gone.
        present_values = set(row_values)
        for values in key_values:
            if values in present_values:
                answer.present += len(by_values[values])
            else:
                answer.absent += by_values[values]

    async def _halves(
        self, by_values: dict[Values, list[bytes]], key_values: list[Values], answer: PresenceAnswer
    ) -> None:
        middle = len(key_values) // 2
        await self._ask(by_values, key_values[:middle], answer)
        await self._ask(by_values, key_values[middle:], answer)

    def _values(self, rows: Rows, raw: Any) -> Values:
        row = self._table.row(rows.shape, raw)
        return self._table.outward(self._fields, [row[field] for field in self._fields])
