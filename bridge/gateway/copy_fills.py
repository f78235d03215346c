"""What queries bring goes into the copy: rows, absences, and the lists of equal values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple

from bridge.connector import Rows
from bridge.gateway.cache.cache_state import ReadAnswer
from bridge.gateway.cache.fences import InFlight
from bridge.gateway.cache.lists import ListKey, ListShape
from bridge.gateway.copy.contract import SystemCopy
from bridge.gateway.freshness.read_floors import ReadSpan
from bridge.model.errors import Rejected, RowError
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]

BY_SOURCE: Final = "source"
"""`ListShape.rest` of lists whose values are in the source's own form, as its equality is coarser than
the log's: any change of the entity may change such a list.
"""


class WholeQuery(NamedTuple):
    """A query's keys, all rows of which its answer has.

    fields: of `keys`.
    keys: values in the source's own form.
    """

    fields: tuple[str, ...]
    keys: Sequence[Values]


def list_key(
    copy: SystemCopy,
    table: EntityMapping,
    fields: tuple[str, ...],
    values: Values,
    source_values: Values,
) -> ListKey | None:
    """The list of the rows with these values; None: it can't be kept right."""
    name = table.entity.name
    if not table.is_exact(fields):
        shape = ListShape(fields, BY_SOURCE, by_values=False)
        return ListKey(copy.scope, name, shape, (source_values,))
    stored = table.stored_values(fields, values, source_values)
    return None if stored is None else ListKey(copy.scope, name, ListShape(fields), (stored,))


class CopyFills:
    """Stores the answers of one system's queries. Every `begin` is followed by `fill` or `fail`."""

    def __init__(self, copy: SystemCopy, clock: Callable[[], float] = monotonic) -> None:
        self._copy = copy
        self._clock = clock

    def begin(self) -> InFlight:
        """Before a query is sent."""
        return self._copy.cache.begin_read(self._clock())

    def fail(self, read: InFlight) -> None:
        """It brought nothing."""
        self._copy.cache.end_read(read, None)

    def fill(
        self,
        read: InFlight,
        table: EntityMapping,
        answer: Rows,
        rows: Sequence[Any],
        query: WholeQuery | None,
    ) -> ReadSpan:
        """Its answer came just now. `rows`: by the plan, aligned with `answer.rows`. `query`: None
        where a limit has cut the answer, or there were no conditions.
        """
        copy = self._copy
        ended = self._clock()
        span = ReadSpan(read.number, read.begun_at, ended)
        copy.note_server(answer.server)
        whole = ReadAnswer(read, answer.visibility, ended, span, answer.server)
        try:
            if table.entity.name in copy.entities:
                self._store(whole, table, answer, rows, query)
        finally:
            copy.cache.end_read(read, whole)
        return span

    def _store(
        self,
        whole: ReadAnswer,
        table: EntityMapping,
        answer: Rows,
        rows: Sequence[Any],
        query: WholeQuery | None,
    ) -> None:
        copy = self._copy
        entity = table.entity_of(answer.shape)
        if entity != table.entity:
            return  # of an earlier or later shape: what is asked for next has the current one
        header = copy.rows.header(entity)
        try:
            keys = table.stored_keys(answer.shape, answer.rows)
        except RowError:
            return
        payloads = [header + row.avro_bytes() for row in rows]
        members = list(zip(keys, payloads, strict=True))
        copy.cache.fill(whole, copy.scope, entity.name, members)
        if query is None:
            return
        if query.fields == entity.key:
            self._store_absences(whole, table, query.keys, frozenset(keys))
        else:
            self._store_lists(whole, table, rows, members, query)

    def _store_absences(
        self,
        whole: ReadAnswer,
        table: EntityMapping,
        source_keys: Sequence[Values],
        keys: frozenset[bytes],
    ) -> None:
        """Only where the source's equality is the log's: else an event of the row that appears may have
        another key.
        """
        if not table.is_exact(table.entity.key):
            return
        absent = []
        for source_key in source_keys:
            key = _stored_key(table, source_key)
            if key is not None and key not in keys:
                absent.append((key, None))
        self._copy.cache.fill(whole, self._copy.scope, table.entity.name, absent)

    def _store_lists(
        self,
        whole: ReadAnswer,
        table: EntityMapping,
        rows: Sequence[Any],
        members: Sequence[tuple[bytes, bytes]],
        query: WholeQuery,
    ) -> None:
        fields = query.fields
        is_exact = table.is_exact(fields)
        if not is_exact and len(query.keys) != 1:
            return  # which rows are of which key only the source knows
        by_values: dict[Values, list[tuple[bytes, bytes]]] = {}
        if is_exact:
            for row, member in zip(rows, members, strict=True):
                by_values.setdefault(tuple([row[field] for field in fields]), []).append(member)
        for source_key in query.keys:
            key = list_key(self._copy, table, fields, source_key, source_key)
            if key is not None:
                own = by_values.get(key.matches[0], ()) if is_exact else members
                self._copy.cache.fill_list(whole, key, own)


def _stored_key(table: EntityMapping, source_key: Values) -> bytes | None:
    try:
        return table.stored_key(source_key, source_key)
    except Rejected:
        return None
