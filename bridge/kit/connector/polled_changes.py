"""What a source promises that can't stream every change (`every_change: no`), exactly.

For each key: the streamed states are some of its true states, in order, and end with the last one;
no gap at the end; deletes arrive, streamed or by comparing keys when the source asks for it.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from bridge.connector import CREATE, DELETE, Capabilities, Stale
from bridge.kit.connector.base import ConnectorTests, needs
from bridge.kit.connector.capture_process import CaptureProcess
from bridge.kit.connector.follower import Follower, Witness, changed_keys, check_promise
from bridge.kit.connector.legacy import KEY, Create, Delete, LegacySystem, Rekey, Update
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S
from bridge.kit.connector.random_load import LoadThread, RandomLoad, order
from bridge.kit.connector.stream import streaming
from bridge.kit.connector.watermark_window import snapshot_under_load

MAX_CHECKPOINT_BYTES = 64 * 1024


@needs("capture", "not every_change")
class PolledChangeTests(ConnectorTests):
    """Left out where the connector declares `every_change`: then more is asked of it elsewhere."""

    async def test_states_are_told_one_by_one_when_there_is_time_between_them(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        witness = Witness(legacy)
        nothing = {"customer": None, "qty": None, "price": None}
        async with streaming(legacy) as stream:
            follower = Follower(stream, legacy)
            for operation in (
                Create({KEY: order(1)[KEY]}),
                Update(order(1)[KEY], order(1)),
                Create(order(2)),
                Update(order(1)[KEY], nothing),
                Delete(order(2)[KEY]),
            ):
                witness.apply(operation)
                await follower.until_equal()
        check_promise(follower.states, witness.truth)
        assert follower.states[order(1)[KEY],] == witness.truth[order(1)[KEY],][1:]
        assert follower.states[order(2)[KEY],] == [order(2), None]
        assert stream.steps[0].op == CREATE or stream.steps[0].before is None
        assert can.before == "none" or can.before == stream.changes[0].shape.before
        for change in stream.changes:
            assert change.shape.before == "full" or not change.old_full

    async def test_deletes_arrive_by_the_means_that_are_declared(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        legacy.apply(*(Create(order(number)) for number in range(1, 8)))
        async with streaming(legacy) as stream:
            follower = Follower(stream, legacy)
            if can.snapshot:
                # As a log gets its rows: where the key is the system's own, they tell its values.
                await follower.compare(Stale((legacy.table,), "at the beginning"))
            else:
                follower.rows = {(row[KEY],): row for row in legacy.rows()}
            follower.compared = 0
            legacy.apply(Delete(order(3)[KEY]), Delete(order(7)[KEY]))
            await follower.until_equal()
        deleted_keys = [step.key for step in stream.steps if step.op == DELETE]
        if can.deletes == "streamed":
            assert set(deleted_keys) == {(order(3)[KEY],), (order(7)[KEY],)}
        if can.deletes == "reconciled":
            assert not deleted_keys
            assert follower.compared

    @needs("rekey")
    async def test_a_row_that_gets_another_key_goes_and_comes(self, legacy: LegacySystem) -> None:
        witness = Witness(legacy)
        async with streaming(legacy) as stream:
            follower = Follower(stream, legacy)
            witness.apply(Create(order(1)))
            await follower.until_equal()
            witness.apply(Rekey(order(1)[KEY], order(2)[KEY]))
            await follower.until_equal()
        check_promise(follower.states, witness.truth)

    async def test_under_a_load_what_is_told_was_true_and_ends_with_the_truth(
        self, legacy: LegacySystem
    ) -> None:
        witness = Witness(legacy)
        running = LoadThread(
            witness, RandomLoad(seed=21, limitations=legacy.limitations), transactions=60
        )
        async with streaming(legacy) as stream:
            follower = Follower(stream, legacy)
            running.start()
            while running.going:
                await follower.read(limit=7)
            running.end()
            await follower.until_equal()
        check_promise(follower.states, witness.truth)

    async def test_positions_are_the_source_s_or_left_to_be_counted(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        async with streaming(legacy) as stream:
            for number in range(1, 6):
                legacy.apply(Create(order(number)))
            await stream.until(5)
        commits = {change.transaction.commit for change in stream.changes}
        assert (commits == {0}) == (can.positions == "assigned")
        assert can.positions == "source" or all(batch.commit == 0 for batch in stream.batches)
        for change in stream.changes:
            if change.transaction.committed_at is not None:
                seconds = change.transaction.committed_at / 1e6
                assert time.time() - 300 < seconds < time.time() + 60

    async def test_many_rows_changed_at_once_are_all_told_in_small_batches(
        self, legacy: LegacySystem
    ) -> None:
        """A page that ends between rows of one change time loses none of them."""
        async with streaming(legacy) as stream:
            legacy.apply(*(Create(order(number)) for number in range(1, 41)))
            await stream.until(40, limit=3)
            await stream.quiet()
        assert changed_keys(stream.steps) == {(order(number)[KEY],) for number in range(1, 41)}
        assert len(stream.steps) == 40, "a row was streamed again though nothing happened"

    async def test_a_source_goes_on_behind_any_batch_and_tells_nothing_again(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            legacy.apply(*(Create(order(number)) for number in range(1, 10)))
            await stream.until(9, limit=2)
            await stream.quiet()
            borders, records = stream.batch_ends, stream.records
        keys = {(order(number)[KEY],) for number in range(1, 10)}
        for border in borders:
            assert len(border.checkpoint) <= MAX_CHECKPOINT_BYTES
            async with streaming(legacy, border.checkpoint, records) as again:
                await again.until(9 - border.steps)
                await again.quiet(0.3)
            before = changed_keys(stream.steps[: border.steps])
            assert changed_keys(again.steps) == keys - before
            assert len(again.steps) == len(keys - before)

    async def test_what_happened_while_no_source_ran_is_made_up_for(
        self, legacy: LegacySystem
    ) -> None:
        witness = Witness(legacy)
        async with streaming(legacy) as stream:
            follower = Follower(stream, legacy)
            witness.apply(*(Create(order(number)) for number in range(1, 6)))
            await follower.until_equal()
        witness.apply(Update(order(2)[KEY], {"qty": 77}), Delete(order(4)[KEY]), Create(order(8)))
        async with streaming(legacy, stream.checkpoint, stream.records) as again:
            follower.go_on(again)
            await follower.until_equal()
        check_promise(follower.states, witness.truth)

    async def test_changes_are_acknowledged_while_a_read_waits_and_none_is_lost(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            for number in range(1, 15):
                legacy.apply(Create(order(number)))
                reading = asyncio.create_task(stream.read(5, 5.0))
                await stream.source.ack(stream.checkpoint)
                await reading
            await stream.until(14)
        assert changed_keys(stream.steps) == {(order(number)[KEY],) for number in range(1, 15)}

    async def test_complete_looks_at_the_tables_are_counted(self, legacy: LegacySystem) -> None:
        async with streaming(legacy) as stream:
            follower = Follower(stream, legacy)
            for number in range(1, 4):
                legacy.apply(Create(order(number)))
                await follower.looked()
                assert len(stream.steps) == number, (
                    "a poll was counted before all of it was streamed"
                )

    @needs("snapshot")
    async def test_marks_come_back_once_and_behind_what_was_told_before_them(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            for number in range(1, 6):
                legacy.apply(Create(order(number)))
                await stream.until(number)
                await stream.source.write_watermark(f"mark {number}")
                deadline = time.monotonic() + WAIT_TIMEOUT_S
                while f"mark {number}" not in stream.log:
                    assert time.monotonic() < deadline, f"mark {number} did not come back"
                    await stream.read()
            await stream.quiet()
        story = [item if isinstance(item, str) else "row" for item in stream.log]
        wanted: list[str] = []
        for number in range(1, 6):
            wanted += ["row", f"mark {number}"]
        assert story == wanted

    @needs("snapshot")
    @pytest.mark.parametrize("seed", [31, 32])
    async def test_a_snapshot_under_a_load_ends_equal_and_takes_nothing_back(
        self, legacy: LegacySystem, seed: int
    ) -> None:
        witness = Witness(legacy)
        rows_before = [order(number) for number in range(1, 60)]
        witness.apply(*(Create(row) for row in rows_before))
        load = RandomLoad(seed, [row[KEY] for row in rows_before], legacy.limitations)
        running = LoadThread(witness, load, transactions=60)
        async with streaming(legacy) as stream:
            window = await snapshot_under_load(stream, legacy, running)
            await stream.quiet()
            window.catch_up()
            follower = Follower(stream, legacy)
            follower.take(window.history)
            # As capture does: rows may have come, been read and gone between two polls.
            await follower.looked()
            await follower.compare(Stale((legacy.table,), "it was read", deletes_only=True))
            await follower.until_equal()
        check_promise(follower.states, witness.truth)
        assert window.chunks > 3

    async def test_capture_that_is_killed_again_and_again_loses_no_last_state(
        self, legacy: LegacySystem
    ) -> None:
        """SIGKILL at random moments; what the child wrote whole before it died is the log."""
        witness = Witness(legacy)
        async with streaming(legacy) as stream:
            begun = stream.checkpoint
        log, dice = CaptureProcess(begun), random.Random(3)  # noqa: S311
        running = LoadThread(
            witness, RandomLoad(seed=3, limitations=legacy.limitations), transactions=60
        )
        running.start()
        for _ in range(4):
            await log.start(legacy, limit=3)
            for _ in range(dice.randrange(1, 25)):
                await log.line()
            await log.kill()
        await asyncio.to_thread(running.end)
        stream.records.names |= log.names
        async with streaming(legacy, log.checkpoint, stream.records) as last:
            follower = Follower(last, legacy)
            follower.take(log.steps)
            for stale in log.stale:
                await follower.compare(stale)
            await follower.until_equal()
        check_promise(follower.states, witness.truth)
        assert log.steps, "the child streamed nothing before it was killed"
