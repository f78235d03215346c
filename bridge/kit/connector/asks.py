"""What a Reader answers to questions that name more than keys, as far as it declares that it can."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pytest

from bridge.connector import Ask, ColumnCondition, ColumnOrder, Reader, ReaderFeatures, Rows
from bridge.connector.ask import OPERATORS, Operator
from bridge.kit.connector.ask_oracle import Row, right_rows
from bridge.kit.connector.base import ConnectorTests, needs
from bridge.kit.connector.legacy import COLUMNS, KEY, Create, LegacySystem
from bridge.kit.connector.random_load import order
from bridge.kit.connector.records import RecordDecoder
from bridge.model.errors import DeadlineExceeded, Rejected

FAR_S = 3600.0
QUESTIONS = 60
"""Random questions that are compared with a look at each row."""


@needs("read")
class AskTests(ConnectorTests):
    """For each part of an Ask: it is answered, or refused."""

    async def test_a_part_of_a_question_that_is_not_declared_is_refused(
        self, legacy: LegacySystem
    ) -> None:
        """If it were ignored, the answer would be wrong."""
        legacy.apply(*(Create(order(number)) for number in range(1, 6)))
        reader = await legacy.connector.reader(legacy.system())
        try:
            for ask in undeclared(Ask(legacy.table, (KEY,), [(order(2)[KEY],)]), reader.features):
                with pytest.raises(Rejected) as refused:
                    await reader.fetch(ask)
                assert refused.value.code == "unsupported_query", ask
        finally:
            await reader.close()

    async def test_questions_are_answered_as_by_a_look_at_each_row(
        self, legacy: LegacySystem
    ) -> None:
        """Conditions, orders, cursors and limits together; ties, nulls, and keys without rows."""
        legacy.apply(*(Create(row) for row in _sample_rows()))
        table_rows = await _AskedRows.read(legacy)
        questions = _RandomQuestions(7, legacy, table_rows.reader.features, table_rows.rows)
        try:
            for _ in range(QUESTIONS):
                ask = questions.next()
                await table_rows.check(ask)
        finally:
            await table_rows.reader.close()

    async def test_a_question_whose_deadline_is_over_is_not_answered(
        self, legacy: LegacySystem
    ) -> None:
        """And the reader answers the next one."""
        legacy.apply(Create(order(1)))
        reader = await legacy.connector.reader(legacy.system())
        try:
            ask = Ask(legacy.table, (KEY,), [(order(1)[KEY],)])
            if reader.features.deadline:
                with pytest.raises(DeadlineExceeded):
                    await reader.fetch(ask._replace(deadline=time.monotonic() - 1))
            for deadline in (None, time.monotonic() + FAR_S):
                assert len((await reader.fetch(ask._replace(deadline=deadline))).rows) == 1
        finally:
            await reader.close()

    async def test_pages_walk_over_every_row_once(self, legacy: LegacySystem) -> None:
        legacy.apply(*(Create(row) for row in _sample_rows()))
        table_rows = await _AskedRows.read(legacy)
        try:
            if not table_rows.reader.features.after:
                return
            for descending in (False, True):
                parts = (ColumnOrder("customer", descending), ColumnOrder(KEY, descending))
                await self._walk(
                    table_rows, _possible(parts, table_rows.reader.features, legacy.key)
                )
        finally:
            await table_rows.reader.close()

    async def _walk(self, table_rows: _AskedRows, by: tuple[ColumnOrder, ...]) -> None:
        everything = right_rows(Ask(table_rows.table, order=by), table_rows.rows)
        walked: list[Row] = []
        after = None
        while len(walked) < len(everything):
            page = await table_rows.check(Ask(table_rows.table, order=by, after=after, limit=4))
            assert page, f"after {after}"
            walked += page
            after = tuple(page[-1][part.column] for part in by)
        assert walked == everything
        assert await table_rows.check(Ask(table_rows.table, order=by, after=after)) == []


class _AskedRows(NamedTuple):
    """The rows of the table, with the key that the system assigns, and the reader that is table_rows."""

    table: str
    reader: Reader
    decoder: RecordDecoder
    own_key: str
    rows: list[Row]

    @classmethod
    async def read(cls, legacy: LegacySystem) -> _AskedRows:
        decoder = RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])
        reader = await legacy.connector.reader(legacy.system())
        table_rows = cls(legacy.table, reader, decoder, legacy.key, [])
        answer = await reader.fetch(Ask(legacy.table))
        table_rows.rows.extend(table_rows.decoded(answer, COLUMNS))
        return table_rows

    def decoded(self, answer: Rows, fields: Sequence[str]) -> list[Row]:
        return [
            self.decoder.fields(answer.shape, raw, {*fields, self.own_key}) for raw in answer.rows
        ]

    async def check(self, ask: Ask) -> list[Row]:
        """The answer, compared with the right one. Values are those of records."""
        answer = await self.reader.fetch(self._in_source_values(ask))
        fields = COLUMNS if ask.fields is None else ask.fields
        rows = self.decoded(answer, fields)
        names = {*fields, self.own_key}
        right = [{name: row[name] for name in names} for row in right_rows(ask, self.rows)]
        if ask.order:
            assert rows == right, ask
        elif ask.limit is None:
            assert sorted(rows, key=repr) == sorted(right, key=repr), ask
        else:
            candidates = right_rows(ask._replace(limit=None), self.rows)
            assert len(rows) == min(ask.limit, len(candidates)), ask
            assert all(any(row.items() <= other.items() for other in candidates) for row in rows)
        return rows

    def _in_source_values(self, ask: Ask) -> Ask:
        source = self.decoder.source_value
        after = None
        if ask.after is not None:
            after = tuple(
                source(part.column, value) for part, value in zip(ask.order, ask.after, strict=True)
            )
        where = tuple(
            condition._replace(
                values=tuple(source(condition.column, value) for value in condition.values)
            )
            for condition in ask.where
        )
        keys = [
            tuple(source(name, value) for name, value in zip(ask.columns, key, strict=True))
            for key in ask.keys
        ]
        return ask._replace(keys=keys, where=where, after=after)


class _RandomQuestions:
    """Questions of all parts that `features` has; the same for the same seed."""

    def __init__(
        self, seed: int, legacy: LegacySystem, features: ReaderFeatures, rows: Sequence[Row]
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - made-up data
        self._legacy = legacy
        self._features = features
        self._rows = rows
        self._operators = [name for name in OPERATORS if name in features.where]

    def next(self) -> Ask:
        chance, features = self._random.random, self._features
        ask = Ask(self._legacy.table)
        if chance() < 0.6:
            columns = self._random.choice([("customer",), ("qty",), ("customer", "qty")])
            picked = self._random.sample(self._rows, self._random.randint(1, 4))
            keys = {tuple(row[name] for name in columns) for row in picked}
            ask = ask._replace(columns=columns, keys=[key for key in keys if None not in key])
            if not ask.keys:
                ask = ask._replace(columns=())
        if self._operators and chance() < 0.6:
            ask = ask._replace(where=tuple(self._condition() for _ in range(1 + (chance() < 0.4))))
        if features.order and chance() < 0.7:
            ask = self._sorted(ask)
        if chance() < 0.3:
            ask = ask._replace(limit=self._random.randint(1, 12))
        if features.fields and chance() < 0.4:
            ask = ask._replace(fields=tuple(self._random.sample(COLUMNS, 2)))
        return ask

    def _sorted(self, ask: Ask) -> Ask:
        columns = self._random.sample(COLUMNS[1:], self._random.randint(0, 2))
        parts = tuple(
            ColumnOrder(name, self._random.random() < 0.5, self._nulls())
            for name in (*columns, KEY)
        )
        by = _possible(parts, self._features, self._legacy.key)
        ask = ask._replace(order=by)
        if self._features.after and self._random.random() < 0.4:
            row = self._random.choice(self._rows)
            ask = ask._replace(after=tuple(row[part.column] for part in by))
        if self._features.per_key and ask.columns and self._random.random() < 0.6:
            ask = ask._replace(per_key=self._random.randint(1, 3))
        return ask

    def _nulls(self) -> Literal["first", "last"]:
        return "first" if self._random.random() < 0.5 else "last"

    def _condition(self) -> ColumnCondition:
        name = self._random.choice(COLUMNS)
        values = [row[name] for row in self._rows if row[name] is not None]
        operator = self._random.choice(self._operators)
        picked = self._random.sample(values, 3 if operator == "in" else operand_count(operator))
        return ColumnCondition(name, operator, tuple(sorted(picked)))


def _possible(
    parts: Sequence[ColumnOrder], features: ReaderFeatures, own_key: str
) -> tuple[ColumnOrder, ...]:
    """The order with nulls where the source has them, and with the key that the system assigns."""
    if not features.nulls:
        parts = [part._replace(nulls="last" if part.descending else "first") for part in parts]
    named = {part.column for part in parts}
    extra = () if own_key in named else (parts[-1]._replace(column=own_key),)
    return (*parts, *extra)


def _sample_rows() -> list[dict[str, Any]]:
    rows = [order(number) for number in range(1, 25)]
    for at, column in ((2, "customer"), (5, "qty"), (9, "price"), (12, "customer"), (17, "qty")):
        rows[at][column] = None
    for at in (3, 8, 20):
        rows[at]["qty"] = 4
    return rows


def undeclared(ask: Ask, features: ReaderFeatures) -> list[Ask]:
    """The question, each time with one part that `features` doesn't have."""
    by_key = (ColumnOrder(KEY, nulls="first"),)
    asks = [
        ask._replace(where=(ColumnCondition(KEY, operator, ("a", "b")[: operand_count(operator)]),))
        for operator in OPERATORS
        if operator not in features.where
    ]
    if not features.order:
        asks.append(ask._replace(order=by_key))
    elif not features.nulls:
        asks.append(ask._replace(order=(ColumnOrder(KEY, nulls="last"),)))
    if not features.after:
        asks.append(ask._replace(order=by_key, after=("a",)))
    if not features.per_key:
        asks.append(ask._replace(order=by_key, per_key=1))
    return asks


def operand_count(operator: Operator) -> int:
    return 2 if operator == "between" else 1
