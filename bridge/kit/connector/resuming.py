"""Going on after an end, whichever it was."""

from __future__ import annotations

import asyncio
import random

from bridge.connector import Capabilities
from bridge.kit.connector.base import ConnectorTests, needs
from bridge.kit.connector.capture_process import CaptureProcess
from bridge.kit.connector.legacy import KEY, Create, LegacySystem
from bridge.kit.connector.random_load import LoadThread, RandomLoad, order
from bridge.kit.connector.stream import streaming
from bridge.kit.connector.table_state import TableState

CLOSE_TIMEOUT_S = 30.0


@needs("capture")
class ResumeTests(ConnectorTests):
    """Checkpoints, acknowledging, kills, closing."""

    @needs("every_change")
    async def test_a_source_goes_on_behind_any_batch_that_it_returned(
        self, legacy: LegacySystem
    ) -> None:
        load = RandomLoad(seed=1, limitations=legacy.limitations)
        async with streaming(legacy) as stream:
            for number in range(6):
                legacy.apply(*load.operations(1 + number % 4))
            await stream.until(6, limit=2)
            await stream.to_the_end(legacy)
            whole, borders, records = stream.steps, stream.batch_ends, stream.records
        assert len(borders) > 4
        for border in borders:
            async with streaming(legacy, border.checkpoint, records) as again:
                await again.until(len(whole) - border.steps)
                await again.quiet(0.2)
            assert again.steps == whole[border.steps :]

    async def test_changes_made_while_no_source_runs_are_told_by_the_next_one(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            pass
        legacy.apply(Create(order(1)))
        async with streaming(legacy, stream.checkpoint, stream.records) as again:
            steps = await again.until(1)
        assert [step.after for step in steps] == [order(1)]

    @needs("every_change")
    async def test_what_is_acknowledged_may_go_and_nothing_else_does(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            for number in range(1, 7):
                legacy.apply(Create(order(number)))
            await stream.until(6, limit=2)
            acknowledged = next(border for border in stream.batch_ends if border.steps >= 2)
            await stream.source.ack(acknowledged.checkpoint)
            await stream.read()
            # An older one after a newer one takes nothing back.
            await stream.source.ack(stream.batch_ends[0].checkpoint)
            whole, records = stream.steps, stream.records
        async with streaming(legacy, acknowledged.checkpoint, records) as again:
            await again.until(6 - acknowledged.steps)
            await again.quiet(0.2)
            await again.source.ack(again.checkpoint)
        assert again.steps == whole[acknowledged.steps :]
        legacy.apply(Create(order(9)))
        async with streaming(legacy, again.checkpoint, records) as last:
            steps = await last.until(1)
        assert [step.key for step in steps] == [(order(9)[KEY],)]

    @needs("every_change")
    async def test_acknowledging_while_a_read_waits_disturbs_neither(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            for number in range(1, 30):
                legacy.apply(Create(order(number)))
                reading = asyncio.create_task(stream.read(5, 5.0))
                await stream.source.ack(stream.checkpoint)
                await reading
            await stream.until(29)
        assert [step.key for step in stream.steps] == [(order(n)[KEY],) for n in range(1, 30)]

    async def test_a_source_can_be_closed_in_the_middle_of_a_read_and_twice(
        self, legacy: LegacySystem
    ) -> None:
        async with streaming(legacy) as stream:
            legacy.apply(Create(order(1)))
            await stream.until(1)
            reading = asyncio.create_task(stream.source.read(10, 60.0))
            await asyncio.sleep(0.2)
            reading.cancel()
            await asyncio.wait([reading], timeout=CLOSE_TIMEOUT_S)
            assert reading.done()
            await asyncio.wait_for(stream.source.close(), CLOSE_TIMEOUT_S)
            await asyncio.wait_for(stream.source.close(), CLOSE_TIMEOUT_S)
        legacy.apply(Create(order(2)))
        async with streaming(legacy, stream.checkpoint, stream.records) as again:
            steps = await again.until(1)
        assert [step.key for step in steps] == [(order(2)[KEY],)]

    async def test_a_source_that_was_never_opened_can_be_closed(self, legacy: LegacySystem) -> None:
        source = await legacy.connector.source(legacy.system())
        await asyncio.wait_for(source.close(), CLOSE_TIMEOUT_S)

    @needs("every_change")
    async def test_capture_that_is_killed_again_and_again_has_each_change_once(
        self, legacy: LegacySystem, can: Capabilities
    ) -> None:
        """SIGKILL at random moments; what the child wrote whole before it died is the log."""
        async with streaming(legacy) as stream:
            begun = stream.checkpoint
        log = CaptureProcess(begun)
        load = RandomLoad(seed=3, limitations=legacy.limitations)
        dice = random.Random(3)  # noqa: S311 - moments of a test
        running = LoadThread(legacy, load, transactions=150)
        running.start()
        for _ in range(6):
            await log.start(legacy, limit=3)
            for _ in range(dice.randrange(1, 25)):
                await log.line()
            await log.kill()
        await asyncio.to_thread(running.end)
        async with streaming(legacy, log.checkpoint, stream.records) as last:
            await last.to_the_end(legacy)
        state = TableState(whole=can.every_change)
        state.take([*log.steps, *last.steps])
        assert sorted(state.rows.values(), key=lambda row: str(row[KEY])) == legacy.rows()
        assert log.steps, "the child streamed nothing before it was killed"
