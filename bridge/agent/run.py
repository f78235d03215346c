"""Runs an agent on the log.

Read, start what may start, write what is finished: three things that go on side by side. No log
transaction is open while a handler runs. The commands of an event, its dead letters and the
offset behind it become visible in one short transaction, and only when every earlier event of
its partition is finished: so each stands in the log once, whatever is killed
(docs/decisions/2026-11-22-commands-wait-for-earlier-events.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import tenacity

from bridge.agent.attempt import Attempts, Backoff, Sleep
from bridge.agent.contract import Commands, Events, Reads
from bridge.agent.declared import DeclaredAgent
from bridge.agent.handling import Handling
from bridge.agent.lane import OFFSETS_EVERY, Lane, Written
from bridge.agent.parked import ParkedKeys
from bridge.agent.window import Slot, Window
from bridge.log.fixed import FixedCodec
from bridge.log.owned import ObservedGroup, OwnedPartitions, owned_partitions
from bridge.log.port import Log, Record, TopicPartition, TopicSpec
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.names import change_topic, replay_topic, split_entity
from bridge.observe import Observer, ignore
from bridge.waiting import PartWaiting, failure_of

MAX_THREADS = 64
IDLE = 1.0
"""Seconds that a read waits when nothing comes."""
CROWDED = 0.02
"""Seconds that it waits while a partition is full, since room comes without a word of the log."""
GRACE = 2.0
"""Seconds that running handlers have to finish when the agent is to end."""


def agent_group(bridge: str, agent: str) -> str:
    """The consumer group of an agent."""
    return f"{bridge}.agent.{agent}"


def _now() -> datetime:
    return datetime.now(UTC)


class AgentRunner:
    """One member of an agent's group; up to as many as there are partitions have work."""

    def __init__(
        self,
        agent: DeclaredAgent,
        *,
        bridge: str,
        log: Log,
        codec: FixedCodec,
        events: Events,
        reads: Reads,
        commands: Commands,
        observer: Observer = ignore,
        clock: Callable[[], datetime] = _now,
        sleep: Sleep = asyncio.sleep,
        backoff: Backoff | None = None,
        session_timeout: float = 10.0,
    ) -> None:
        self._agent = agent
        self._bridge = bridge
        self._log = log
        self._sleep = sleep
        self._observer = observer
        self._waiting = PartWaiting("agent", agent.name, observer)
        self._session_timeout = session_timeout
        self._group = agent_group(bridge, agent.name)
        self._entities = {
            change_topic(bridge, *split_entity(entity)): entity for entity in agent.entities
        }
        self._parked = (
            ParkedKeys(log, codec, agent.name, self._entities)
            if agent.on_failure == "park_key"
            else None
        )
        self._threads = ThreadPoolExecutor(
            min(agent.concurrency, MAX_THREADS), thread_name_prefix=f"agent-{agent.name}"
        )
        attempts = Attempts(
            agent,
            reads,
            commands,
            clock=clock,
            sleep=sleep,
            backoff=backoff or Backoff(),
            threads=self._threads,
            observer=observer,
            waiting=self._waiting,
        )
        self._handling = Handling(
            agent,
            events,
            attempts,
            codec,
            self._parked,
            max_record_bytes=log.max_record_bytes,
            clock=clock,
            sleep=sleep,
            observer=observer,
            waiting=self._waiting,
        )
        self._lanes: dict[TopicPartition, Lane] = {}
        self._running = 0
        self._finished = asyncio.Event()
        self._failure: Exception | None = None
        self._ending = False

    @property
    def topics(self) -> list[str]:
        """What it reads: the changes of its entities, and what operators replay into it."""
        return [*self._entities, replay_topic(self._bridge, self._agent.name)]

    async def run(self, stop: asyncio.Event) -> None:
        """Handle events until `stop` is set; then end within a few seconds.

        Raises AgentStopped, RetryLater when the log is away at the start, and what a broken log
        raises.
        """
        replays = replay_topic(self._bridge, self._agent.name)
        await self._log.create_topics([TopicSpec(replays)])
        try:
            if self._parked is not None:
                await self._parked.open()
            async with owned_partitions(
                self._log,
                self._bridge,
                self._group,
                self.topics,
                self,
                watch=ObservedGroup(self._observer),
                session_timeout=self._session_timeout,
            ) as owned:
                await self._work(owned, stop)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            if self._parked is not None:
                await self._parked.close()
        if self._failure is not None:
            raise self._failure

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As Rebalance says: what is under way for these counts no more."""
        for place in partitions:
            lane = self._lanes.pop(place, None)
            if lane is not None:
                lane.drop()
        if self._parked is not None:
            self._parked.forget(partitions)

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """As Rebalance says."""
        for place in partitions:
            self._lanes[place] = Lane(place, Window(self._agent.unfinished), monotonic())
        return None

    async def _work(self, owned: OwnedPartitions, stop: asyncio.Event) -> None:
        reading = asyncio.create_task(self._read(owned))
        writing = asyncio.create_task(self._write(owned))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((reading, writing, stopping), return_when=asyncio.FIRST_COMPLETED)
            broken = [task for task in (reading, writing) if task.done()]
            await _ended(reading)
            await self._let_finish()
            self._ending = True
            self._finished.set()
            # A transaction that is under way is not cut short: whether a commit that is
            # cancelled happened only the log knows, and what is written next depends on it.
            await asyncio.wait((writing,), timeout=GRACE)
            if writing.done() and not writing.cancelled() and writing.exception() is None:
                await self._write_all(owned)
            for task in broken:
                task.result()
        finally:
            await asyncio.gather(*map(_ended, (reading, writing)), _ended(stopping))
            await self.revoked(frozenset(self._lanes))

    async def _read(self, owned: OwnedPartitions) -> None:
        failures = 0
        while self._failure is None:
            full = [place for place, lane in self._lanes.items() if lane.window.full]
            free = [lane for lane in self._lanes.values() if not lane.window.full]
            owned.member.pause(full)
            owned.member.resume(lane.place for lane in free)
            room = min(
                (self._agent.unfinished - len(lane.window) for lane in free),
                default=self._agent.unfinished,
            )
            try:
                records = await owned.read(room, CROWDED if full else IDLE)
            except RetryLater as error:
                failures += 1
                self._waiting.tried(failures, str(error), "read")
                await self._sleep(IDLE)
                continue
            if failures:
                failures = 0
                self._waiting.tried(0, "", "read")
            for record in records:
                lane = self._lanes.get(TopicPartition(record.topic, record.partition))
                # Without a lane the partition was lost since; its records come again.
                if lane is not None:
                    lane.window.add(record.offset, record.key, record)
            self._start()

    def _start(self) -> None:
        """Start what may start, taking turns between the partitions."""
        lanes = [lane for lane in self._lanes.values() if self._failure is None]
        while lanes and self._running < self._agent.concurrency:
            going = []
            for lane in lanes:
                if self._running >= self._agent.concurrency:
                    return
                slot = lane.window.start()
                if slot is None:
                    continue
                going.append(lane)
                self._running += 1
                task = asyncio.create_task(self._handle(lane, slot))
                lane.tasks.add(task)
                task.add_done_callback(lane.tasks.discard)
            lanes = going

    async def _handle(self, lane: Lane, slot: Slot[Record, Written]) -> None:
        try:
            written = await self._handling.handle(slot.item)
        except Exception as error:  # noqa: BLE001 - ends the agent, which raises it
            self._failure = self._failure or error
            self._finished.set()
            return
        finally:
            self._running -= 1
        lane.window.finish(slot, written)
        self._finished.set()
        self._start()

    async def _let_finish(self) -> None:
        running = [task for lane in self._lanes.values() for task in lane.tasks]
        if running:
            await asyncio.wait(running, timeout=GRACE)

    async def _write(self, owned: OwnedPartitions) -> None:
        while not self._ending and self._failure is None:
            await _set_within(self._finished, OFFSETS_EVERY)
            self._finished.clear()
            await self._write_all(owned)

    async def _write_all(self, owned: OwnedPartitions) -> None:
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.gather()
        now = monotonic()
        due = [lane for lane in lanes if lane.due(now) or (self._ending and lane.upto is not None)]
        await asyncio.gather(*(self._write_lane(owned, lane) for lane in due))

    async def _write_lane(self, owned: OwnedPartitions, lane: Lane) -> None:
        assert lane.upto is not None, "only lanes with something to write"  # noqa: S101
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(RetryLater),
                wait=tenacity.wait_random_exponential(0.1, 5),
                sleep=self._sleep,
                before_sleep=lambda state: self._waiting.tried(
                    state.attempt_number, failure_of(state), "write"
                ),
                reraise=True,
            ):
                with attempt:
                    if lane.dropped or (self._ending and attempt.retry_state.attempt_number > 1):
                        return
                    async with owned.transaction(lane.place) as transaction:
                        for topic, entries in lane.by_topic().items():
                            await transaction.append(topic, entries)
                        transaction.commit_offsets(self._group, {lane.place: lane.upto})
                    lane.wrote(monotonic())
                    self._waiting.tried(0, "", "write")
        except (Fenced, OutcomeUnknown):
            # The next read takes the partition again, or finds that it is another's now.
            if self._lanes.get(lane.place) is lane:
                await self.revoked(frozenset({lane.place}))


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
