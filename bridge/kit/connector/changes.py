"""Changes that a Source streams."""

from __future__ import annotations

import asyncio
import time

from bridge.connector import CREATE, DELETE, UPDATE, Capabilities
from bridge.kit.connector.base import ConnectorTests, needs
from bridge.kit.connector.legacy import KEY, Create, Delete, LegacySystem, Rekey, Update
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S
from bridge.kit.connector.random_load import RandomLoad, order
from bridge.kit.connector.stream import streaming
from bridge.kit.connector.table_state import TableState


@needs("capture")
class ChangeTests(ConnectorTests):
    """Creates, updates, deletes, changed keys, nulls; order, transactions, waiting."""

    @needs("every_change")
    async def test_creates_updates_and_deletes_are_told_with_their_rows(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        first, second = order(1), order(1, qty=99)
        key = (first[KEY],)
        async with streaming(legacy) as stream:
            legacy.apply(Create(first))
            legacy.apply(Update(first[KEY], {"qty": 99}))
            legacy.apply(Delete(first[KEY]))
            steps = await stream.until(3)
        assert [(step.op, step.key, step.after) for step in steps] == [
            (CREATE, key, first),
            (UPDATE, key, second),
            (DELETE, key, None),
        ]
        if can.before == "full":
            assert [step.before for step in steps] == [None, first, second]

    @needs("every_change")
    async def test_old_rows_are_whole_or_not_there_as_the_shape_says(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)), Update(order(1)[KEY], {"qty": 2}))
            legacy.apply(Delete(order(1)[KEY]))
            await stream.until(3)
        for change in stream.changes:
            full = change.shape.before == "full"
            assert change.old_full == (full and change.op != CREATE)
            if can.before != "per_table":
                assert change.shape.before == can.before

    @needs("every_change")
    async def test_a_changed_key_is_told_with_the_old_and_the_new_one(
        self, legacy: LegacySystem
    ) -> None:
        old, new = order(1), order(1, **{KEY: order(2)[KEY]})
        async with streaming(legacy) as stream:
            legacy.apply(Create(old))
            legacy.apply(Rekey(old[KEY], new[KEY]))
            steps = await stream.until(3)
        assert [(step.op, step.key, step.after) for step in steps] == [
            (CREATE, (old[KEY],), old),
            (DELETE, (old[KEY],), None),
            (CREATE, (new[KEY],), new),
        ]

    @needs("every_change")
    async def test_nulls_come_and_go(self, legacy: LegacySystem) -> None:
        empty = {KEY: order(1)[KEY], "customer": None, "qty": None, "price": None}
        async with streaming(legacy) as stream:
            legacy.apply(Create({KEY: order(1)[KEY]}))
            legacy.apply(Update(order(1)[KEY], order(1)))
            legacy.apply(Update(order(1)[KEY], {"customer": None, "qty": None, "price": None}))
            steps = await stream.until(3)
        assert [step.after for step in steps] == [empty, order(1), empty]

    @needs("every_change")
    async def test_a_history_rebuilds_the_table_step_by_step(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        load = RandomLoad(seed=7, limitations=legacy.limitations)
        async with streaming(legacy) as stream:
            for number in range(40):
                legacy.apply(*load.operations(1 + number % 5))
            await stream.to_the_end(legacy)
        state = TableState(whole=can.every_change)
        state.take(stream.steps)
        assert sorted(state.rows.values(), key=lambda row: str(row[KEY])) == legacy.rows()

    async def test_positions_grow_over_changes_and_watermarks(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        load = RandomLoad(seed=8, limitations=legacy.limitations)
        async with streaming(legacy) as stream:
            for number in range(30):
                legacy.apply(*load.operations(1 + number % 3))
                if can.snapshot and number % 5 == 0:
                    await stream.source.write_watermark(f"mark {number}")
            await stream.quiet()
        places = [(change.transaction.commit, change.index) for change in stream.changes]
        if any(commit for commit, _ in places):
            assert places == sorted(set(places)), "each change has a place of its own, in order"
        for batch in stream.batches:
            if batch.changes:
                assert batch.commit >= batch.changes[-1].transaction.commit
            for mark in batch.watermarks:
                earlier = [change.transaction.commit for change in batch.changes[: mark.at]]
                assert all(commit <= mark.commit for commit in earlier)

    @needs("rollback")
    async def test_a_rolled_back_transaction_is_never_told(self, legacy: LegacySystem) -> None:
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)), commit=False)
            legacy.apply(Create(order(2)))
            steps = await stream.until(1)
            await stream.quiet()
        assert [step.key for step in steps] == [(order(2)[KEY],)]

    @needs("every_change")
    async def test_changes_carry_their_transaction_and_when_it_was_committed(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        before = time.time()
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)), Create(order(2)))
            legacy.apply(Create(order(3)))
            await stream.until(3)
        first, two, three = (change.transaction for change in stream.changes)
        if can.transactions:
            assert first == two
            assert first.id is not None
            assert first.id != three.id
            assert first.commit < three.commit
            assert [change.index for change in stream.changes] == [0, 1, 0]
            assert first.committed_at is not None
        for transaction in (first, two, three):
            if transaction.committed_at is not None:
                seconds = transaction.committed_at / 1e6
                assert before - 60 < seconds < time.time() + 60

    @needs("every_change")
    async def test_a_batch_has_no_more_changes_than_were_asked_for(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            legacy.apply(*(Create(order(number)) for number in range(1, 8)))
            steps = await stream.until(7, limit=2)
        assert [step.key for step in steps] == [(order(number)[KEY],) for number in range(1, 8)]

    async def test_an_idle_read_waits_as_long_as_it_was_told_and_brings_nothing(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        async with streaming(legacy) as stream:
            await stream.quiet()
            waited: list[float] = []
            for _ in range(3):
                began = time.monotonic()
                batch = await stream.read(10, 0.3)
                took = time.monotonic() - began
                assert batch.changes == []
                # A source may have more to say than changes: that it is time to compare keys.
                if can.deletes == "streamed" or not batch.stale:
                    waited.append(took)
        # A busy machine makes a wait longer, but rarely each of them.
        assert min(waited, default=0.3) < WAIT_TIMEOUT_S / 3
        assert min(waited, default=0.3) > 0.2

    async def test_a_waiting_read_returns_when_a_change_comes(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        async with streaming(legacy) as stream:
            await stream.quiet()
            reading = asyncio.create_task(stream.read(10, WAIT_TIMEOUT_S))
            await asyncio.sleep(0.2)
            assert not reading.done() or can.deletes != "streamed"
            began = time.monotonic()
            await asyncio.to_thread(legacy.apply, Create(order(1)))
            while not stream.steps:
                await reading
                reading = asyncio.create_task(stream.read(10, 1.0))
            assert time.monotonic() - began < WAIT_TIMEOUT_S / 2
            await reading
        assert [(step.key, step.after) for step in stream.steps] == [((order(1)[KEY],), order(1))]
