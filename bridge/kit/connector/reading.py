"""What a Reader answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.connector import Ask, Capabilities, Reader
from bridge.connector.answer_check import first_foreign, first_repeated
from bridge.kit.connector.base import ConnectorTests, needs
from bridge.kit.connector.legacy import KEY, Create, LegacySystem, SupportsOpenTransactions
from bridge.kit.connector.random_load import order
from bridge.kit.connector.records import Record, RecordDecoder
from bridge.kit.connector.stream import streaming
from bridge.kit.connector.visibility_check import check_seen, recorded_transaction
from bridge.model.errors import Rejected


@needs("read")
class ReaderTests(ConnectorTests):
    """Only for the capability `read`; without it, that it is refused."""

    async def test_batched_lookups_equal_single_ones(self, legacy: LegacySystem) -> None:
        legacy.apply(*(Create(order(number)) for number in range(1, 20)))
        legacy.apply(Create({KEY: "odd 'key'"}))
        reader = await legacy.connector.reader(legacy.system())
        assert reader.max_keys >= 1
        records = await _records(legacy)
        by_key: list[tuple[Any, ...]] = [(order(n)[KEY],) for n in (3, 17, 5, 99)]
        by_key.append(("odd 'key'",))
        for columns, keys in (
            ([KEY], by_key),
            (["customer"], [("customer 3",), ("customer 1",), ("nobody",)]),
            (["customer", "qty"], [("customer 3", 3), ("customer 3", 10), ("customer 3", 4)]),
        ):
            size = max(1, min(len(keys), reader.max_keys))
            together: list[Record] = []
            for at in range(0, len(keys), size):
                together += await _rows(reader, records, legacy, columns, keys[at : at + size])
            single = [
                row for key in keys for row in await _rows(reader, records, legacy, columns, [key])
            ]
            assert sorted(together, key=str) == sorted(single, key=str)
            assert together
        await reader.close()

    async def test_no_row_comes_that_was_not_asked_for_and_none_twice(
        self, legacy: LegacySystem
    ) -> None:
        """Keys that are asked for twice, rows that two keys find, and keys that find nothing."""
        legacy.apply(*(Create(order(number)) for number in range(1, 20)))
        reader = await legacy.connector.reader(legacy.system())
        records = await _records(legacy)
        existing_keys = {order(number)[KEY] for number in range(1, 20)}
        keys: list[tuple[Any, ...]] = [(order(n)[KEY],) for n in (3, 17, 3, 99, 5)]
        for columns, requested in (
            ([KEY], keys),
            (["customer"], [("customer 3",), ("customer 3",), ("CUSTOMER",), ("",)]),
        ):
            rows = await _rows(reader, records, legacy, columns, requested[: reader.max_keys])
            values = [tuple(row[name] for name in columns) for row in rows]
            assert first_foreign(values, requested) is None
            assert first_repeated([(row[KEY],) for row in rows]) is None
            assert {row[KEY] for row in rows} <= existing_keys
        await reader.close()

    async def test_without_keys_all_rows_come_up_to_the_limit(self, legacy: LegacySystem) -> None:
        legacy.apply(*(Create(order(number)) for number in range(1, 6)))
        reader = await legacy.connector.reader(legacy.system())
        records = await _records(legacy)
        answer = await reader.fetch(Ask(legacy.table))
        rows = [records.row(answer.shape, raw) for raw in answer.rows]
        assert sorted(rows, key=lambda row: str(row[KEY])) == legacy.rows()
        assert len((await reader.fetch(Ask(legacy.table, limit=2))).rows) == 2
        await reader.close()

    async def test_reads_run_side_by_side(self, legacy: LegacySystem) -> None:
        legacy.apply(*(Create(order(number)) for number in range(1, 6)))
        reader = await legacy.connector.reader(legacy.system())
        answers = await asyncio.gather(
            *(
                reader.fetch(Ask(legacy.table, (KEY,), [(order(n % 5 + 1)[KEY],)]))
                for n in range(20)
            )
        )
        await reader.close()
        assert [len(answer.rows) for answer in answers] == [1] * 20

    @needs("capture")
    async def test_a_row_that_is_read_equals_the_event_of_the_same_state(
        self, legacy: LegacySystem
    ) -> None:
        reader = await legacy.connector.reader(legacy.system())
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)), Create({KEY: order(2)[KEY]}))
            steps = await stream.until(2)
            for step in steps:
                assert step.after is not None
                (row,) = await _rows(reader, stream.records, legacy, [KEY], [step.key])
                assert row == step.after
        await reader.close()

    @needs("capture")
    async def test_a_read_tells_which_transactions_it_has_seen(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        reader = await legacy.connector.reader(legacy.system())
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)))
            await stream.until(1)
            early = await reader.fetch(Ask(legacy.table, (KEY,), [("nothing",)]))
            legacy.apply(Create(order(2)))
            await stream.until(2)
            late = await reader.fetch(Ask(legacy.table, (KEY,), [("nothing",)]))
        await reader.close()
        check_seen(can, stream.changes, early.visibility, late.visibility)

    @needs("capture", "visibility")
    async def test_a_recorded_transaction_is_in_a_later_read_and_not_in_one_while_it_was_open(
        self, legacy: LegacySystem
    ) -> None:
        """The change record's `transaction` is all that a reader of the log has to go by."""
        assert isinstance(legacy, SupportsOpenTransactions), "a method that `visibility` needs"
        reader = await legacy.connector.reader(legacy.system())
        async with streaming(legacy) as stream:
            with legacy.open_transaction(Create(order(2)), Create(order(3))):
                during = await reader.fetch(Ask(legacy.table, (KEY,), [(order(2)[KEY],)]))
            await stream.until(2)
            later = await reader.fetch(Ask(legacy.table, (KEY,), [(order(2)[KEY],)]))
        await reader.close()
        assert (len(during.rows), len(later.rows)) == (0, 1)
        assert during.visibility is not None
        assert later.visibility is not None
        for recorded in map(recorded_transaction, stream.changes):
            assert not during.visibility.contains(recorded)
            assert later.visibility.contains(recorded)

    async def test_a_column_that_is_not_there_is_rejected_and_the_reader_goes_on(
        self, legacy: LegacySystem
    ) -> None:
        legacy.apply(Create(order(1)))
        reader = await legacy.connector.reader(legacy.system())
        with pytest.raises(Rejected):
            await reader.fetch(Ask(legacy.table, ("no_such_column",), [("x",)]))
        assert len((await reader.fetch(Ask(legacy.table, (KEY,), [(order(1)[KEY],)]))).rows) == 1
        await reader.close()


async def _records(legacy: LegacySystem) -> RecordDecoder:
    return RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])


async def _rows(
    reader: Reader,
    records: RecordDecoder,
    legacy: LegacySystem,
    columns: list[str],
    keys: list[tuple[Any, ...]],
) -> list[Record]:
    answer = await reader.fetch(Ask(legacy.table, columns, keys))
    return [records.row(answer.shape, raw) for raw in answer.rows]
