"""Snapshots: chunks, watermarks and what they make together."""

from __future__ import annotations

import asyncio

import pytest

from bridge.connector import Capabilities, Snapshot
from bridge.kit.connector.base import ConnectorTests, assert_refused, needs
from bridge.kit.connector.legacy import KEY, Create, LegacySystem
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S
from bridge.kit.connector.random_load import LoadThread, RandomLoad, order
from bridge.kit.connector.records import Record, RecordDecoder
from bridge.kit.connector.stream import streaming
from bridge.kit.connector.table_state import TableState
from bridge.kit.connector.visibility_check import check_seen
from bridge.kit.connector.watermark_window import snapshot_under_load
from bridge.model.errors import Unsupported


async def all_rows(
    snapshot: Snapshot, records: RecordDecoder, table: str, limit: int
) -> list[Record]:
    """All rows, chunk by chunk, in the order in which they came."""
    rows: list[Record] = []
    after = None
    while True:
        chunk = await snapshot.chunk(table, None, after, limit)
        assert len(chunk.rows) <= limit
        rows += [records.row(chunk.shape, raw) for raw in chunk.rows]
        if chunk.last is None:
            return rows
        assert chunk.rows, "a chunk without rows is the last one"
        after = chunk.last


class SnapshotTests(ConnectorTests):
    """Only for the capability `snapshot`; without it, that it is refused."""

    @pytest.fixture
    async def records(self, legacy: LegacySystem) -> RecordDecoder:
        """Decodes the suite's table."""
        return RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])

    @needs("capture", "not snapshot")
    async def test_without_the_capability_watermarks_are_refused(
        self, legacy: LegacySystem
    ) -> None:
        assert await assert_refused(legacy, "snapshot")
        async with streaming(legacy) as stream:
            with pytest.raises(Unsupported):
                await stream.source.write_watermark("x")

    @needs("snapshot")
    async def test_chunks_of_any_size_give_every_row_once_in_key_order(
        self, legacy: LegacySystem, records: RecordDecoder
    ) -> None:
        legacy.apply(*(Create(order(number)) for number in range(1, 13)))
        legacy.apply(Create({KEY: order(13)[KEY]}))
        snapshot = await legacy.connector.snapshot(legacy.system())
        for limit in (1, 4, 12, 13, 14, 1000):
            assert await all_rows(snapshot, records, legacy.table, limit) == legacy.rows()
        assert 0 <= await snapshot.count(legacy.table, None) < 10**9
        await snapshot.close()

    @needs("snapshot")
    async def test_an_empty_table_is_one_empty_chunk(
        self, legacy: LegacySystem, records: RecordDecoder
    ) -> None:
        snapshot = await legacy.connector.snapshot(legacy.system())
        chunk = await snapshot.chunk(legacy.table, None, None, 10)
        await snapshot.close()
        assert (chunk.rows, chunk.last) == ([], None)
        assert records.row is not None

    @needs("snapshot")
    async def test_a_condition_chooses_rows_by_one_value_or_several(
        self, legacy: LegacySystem, records: RecordDecoder
    ) -> None:
        legacy.apply(*(Create(order(number, qty=number % 3)) for number in range(1, 10)))
        legacy.apply(Create({KEY: order(10)[KEY]}))
        snapshot = await legacy.connector.snapshot(legacy.system())
        for where, expected in (
            ({"qty": 1}, {1}),
            ({"qty": [0, 2]}, {0, 2}),
            ({"qty": None}, {None}),
        ):
            chunk = await snapshot.chunk(legacy.table, where, None, 100)
            wanted = [row for row in legacy.rows() if row["qty"] in expected]
            assert [records.row(chunk.shape, raw) for raw in chunk.rows] == wanted
            assert wanted
        part = await snapshot.chunk(legacy.table, {"qty": [0, 2]}, None, 2)
        rest = await snapshot.chunk(legacy.table, {"qty": [0, 2]}, part.last, 100)
        await snapshot.close()
        assert len(part.rows) + len(rest.rows) == 6

    @needs("snapshot")
    async def test_a_snapshot_goes_on_in_another_process_behind_any_chunk(
        self, legacy: LegacySystem, records: RecordDecoder
    ) -> None:
        legacy.apply(*(Create(order(number)) for number in range(1, 8)))
        first = await legacy.connector.snapshot(legacy.system())
        chunk = await first.chunk(legacy.table, None, None, 3)
        await first.close()
        second = await legacy.connector.snapshot(legacy.system())
        rest = await second.chunk(legacy.table, None, chunk.last, 100)
        await second.close()
        rows = [
            *(records.row(chunk.shape, raw) for raw in chunk.rows),
            *(records.row(rest.shape, raw) for raw in rest.rows),
        ]
        assert rows == legacy.rows()

    @needs("every_change", "snapshot", "capture")
    async def test_watermarks_come_back_once_and_between_the_changes_around_them(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            for number in range(1, 6):
                legacy.apply(Create(order(number)))
                await stream.source.write_watermark(f"mark {number}")
            await stream.until(5, limit=2)
            await stream.quiet()
        story = [
            item if isinstance(item, str) else stream.records.steps([item])[0].key[0]
            for item in stream.log
        ]
        wanted: list[str] = []
        for number in range(1, 6):
            wanted += [order(number)[KEY], f"mark {number}"]
        assert story == wanted

    @needs("snapshot", "capture")
    async def test_watermarks_are_written_while_a_read_waits_which_then_returns(
        self, legacy: LegacySystem
    ) -> None:
        """Two at once. A read that continued to wait would delay those who ask how fresh the log is."""
        async with streaming(legacy) as stream:
            await stream.quiet()
            names: list[str] = []
            reading = asyncio.create_task(stream.source.read(1000, 10 * WAIT_TIMEOUT_S))
            await asyncio.gather(*map(stream.source.write_watermark, ("first", "second")))
            while len(names) < 2:
                batch = await asyncio.wait_for(reading, WAIT_TIMEOUT_S)
                names += [mark.name for mark in batch.watermarks]
                reading = asyncio.create_task(stream.source.read(1000, 0.1))
            await reading
        assert sorted(names) == ["first", "second"]

    @needs("every_change", "snapshot", "capture")
    @pytest.mark.parametrize("seed", [11, 12])
    async def test_a_snapshot_while_changes_go_on_ends_equal_to_the_table(
        self, legacy: LegacySystem, seed: int
    ) -> None:
        """No gap, no repeat, no row older than what was streamed already."""
        rows_before = [order(number) for number in range(1, 60)]
        legacy.apply(*(Create(row) for row in rows_before))
        running = LoadThread(
            legacy,
            RandomLoad(seed, [row[KEY] for row in rows_before], legacy.limitations),
            transactions=150,
        )
        async with streaming(legacy) as stream:
            window = await snapshot_under_load(stream, legacy, running)
            await stream.to_the_end(legacy)
            window.catch_up()
        state = TableState(whole=False)
        state.take(window.history)
        assert sorted(state.rows.values(), key=lambda row: str(row[KEY])) == legacy.rows()
        assert window.chunks > 3

    @needs("snapshot", "capture")
    async def test_a_chunk_tells_which_transactions_it_has_seen(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        async with streaming(legacy) as stream:
            snapshot = await legacy.connector.snapshot(legacy.system())
            legacy.apply(Create(order(1)))
            await stream.until(1)
            early = await snapshot.chunk(legacy.table, None, None, 10)
            legacy.apply(Create(order(2)))
            await stream.until(2)
            late = await snapshot.chunk(legacy.table, None, None, 10)
            await snapshot.close()
        check_seen(can, stream.changes, early.visibility, late.visibility)
