"""Queries a system for which keys it has rows.

A key counts as absent only if the system really answered the query: a result with rows that weren't
requested doesn't count. Keys are compared in the source's own form, as in the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.capture.contract import CaptureDependencies
from bridge.capture.entity import CapturedEntity
from bridge.connector import Ask, Reader, ReaderFeatures, Rows, Shape, Snapshot, refuse_unsupported
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import ConfigurationError, Rejected, RowError
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type

MAX_KEYS_PER_SNAPSHOT_READ = 100

Values = tuple[Any, ...]


@dataclass(slots=True)
class PresenceAnswer:
    """The result for one batch of framed keys: those without a row, those with one, and why keys
    could not be queried.
    """

    absent: list[bytes] = field(default_factory=list)
    present: int = 0
    unasked: list[str] = field(default_factory=list)


class SnapshotReader:
    """A `bridge.connector.Reader` for connectors without one: reads chunks with a condition."""

    features = ReaderFeatures()

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def max_keys(self) -> int:
        """Many if the key is one column (a list of values), one for a composite key."""
        return MAX_KEYS_PER_SNAPSHOT_READ

    async def fetch(self, ask: Ask) -> Rows:
        """As `bridge.connector.Reader.fetch`."""
        refuse_unsupported(ask, self.features)
        table, columns, keys = ask.table, ask.columns, ask.keys
        rows: list[Any] = []
        shape: Shape | None = None
        single = len(columns) == 1
        conditions = (
            [{columns[0]: [key[0] for key in keys]}]
            if single
            else [dict(zip(columns, key, strict=True)) for key in keys]
        )
        for condition in conditions:
            # One more row than there can be shows that the system ignored the condition.
            most = ask.limit or (len(keys) if single else 1) + 1
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
    """The reader for these queries."""
    if deps.connector.capabilities().read:
        return await deps.connector.reader(deps.system)
    return SnapshotReader(await deps.connector.snapshot(deps.system))


class KeyPresence:
    """Queries for keys of one entity. Raises RetryLater while the system is unavailable;
    ConfigurationError or Rejected if it can't be queried at all.
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
                f"{self._name}: the system can't be queried for deleted rows ({error}), so no "
                "delete is written for rows that its table doesn't show; give the entity a key that "
                "maps back to the source's"
            ) from error

    async def ask(self, keys: Sequence[bytes]) -> PresenceAnswer:
        """Query for at most `max_keys` framed keys."""
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
            rows = await self._reader.fetch(Ask(self._table.table, self._columns, key_values))
            row_values = [self._values(rows, raw) for raw in rows.rows]
        except RowError:
            # One of the rows can't be normalised, but it exists.
            if len(key_values) == 1:
                answer.present += len(by_values[key_values[0]])
                return
            await self._halves(by_values, key_values, answer)
            return
        except AnswerMismatch as error:
            if len(key_values) == 1:
                raise ConfigurationError(
                    f"{self._name}: the system can't be queried for deleted rows: {error}"
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
                f"{self._name}: queried for one row by its key, the system returned "
                f"{len(row_values)} others: it ignores the condition, so no delete can be confirmed"
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
