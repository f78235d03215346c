"""Runs an agent on the log.

Read, start what may start, write what is finished: three things that go on side by side, in the
bridge's event loop. Handlers have one of their own, in a thread (`handler_loop`): whatever they do,
the agent keeps its membership and writes. No log transaction is open while a handler runs. The commands of an event, its dead letters and the
offset behind it become visible in one short transaction, and only when every earlier event of
its partition is finished: so each stands in the log once, whatever is killed
(docs/decisions/2026-11-22-commands-wait-for-earlier-events.md).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from bridge.agent.blocked_loop import BlockedLoopWatch
from bridge.agent.bridge_calls import (
    BridgeCalls,
    BridgeEventDecoder,
    BridgeParkedKeys,
    BridgePartWaiting,
    BridgeReads,
    bridge_observer,
)
from bridge.agent.contract import CommandTargets
from bridge.agent.declaration import AgentDeclaration
from bridge.agent.first_start import commit_end_offsets, first_offsets, start_text, unread_topics
from bridge.agent.handler_loop import HandlerLoop
from bridge.agent.handler_slots import HandlerSlots
from bridge.agent.in_flight import InFlightEvent, InFlightEvents
from bridge.agent.parked_keys import ParkedKeys
from bridge.agent.partition_work import OFFSETS_EVERY_S, PartitionWork
from bridge.agent.pipeline.build import PipelineDependencies, build_pipeline
from bridge.agent.pipeline.delivery import OutgoingEntry
from bridge.agent.pipeline.retry import Sleep
from bridge.agent.retry_policy import Backoff
from bridge.log.group_progress import GroupProgress
from bridge.log.partition_owner import ObservedGroup, PartitionOwner, own_partitions
from bridge.log.port import Log, Record, RecordsRemoved, TopicPartition
from bridge.log.system_topics import SystemTopicCodec
from bridge.log.topic_specs import replay_topic_spec
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.names import change_topic, replay_topic, split_entity
from bridge.observe import GroupMoved, Observer, ignore
from bridge.ports.entity_reads import EntityReads
from bridge.ports.event_decoder import EventDecoder
from bridge.retry import RetryPolicy, retry
from bridge.waiting import PartWaiting

MAX_PLAIN_HANDLER_THREADS = 64
READ_TIMEOUT_S = 1.0
"""Seconds that a read waits when nothing comes."""
FULL_READ_TIMEOUT_S = 0.02
"""Seconds that it waits while a partition is full, since room comes without a word of the log."""
BEGIN_AGAIN_S = (0.05, 1.0)
"""Seconds, at least and at most, to the next try where two members begin at the same moment."""
FINISH_TIMEOUT_S = 2.0
"""Seconds that running handlers have to finish when the agent is to end."""
CANCEL_TIMEOUT_S = 0.5
"""Seconds that those which were cancelled then have to take their leave; blocking ones don't."""

_Job = tuple[PartitionWork, InFlightEvent[Record, OutgoingEntry]]


def agent_group(bridge: str, agent: str) -> str:
    """The consumer group of an agent."""
    return f"{bridge}.agent.{agent}"


def agent_topics(bridge: str, agent: AgentDeclaration) -> list[str]:
    """What an agent reads: the changes of its entities, and what operators replay into it."""
    entities = [change_topic(bridge, *split_entity(entity)) for entity in agent.entities]
    return [*entities, replay_topic(bridge, agent.name)]


def _now() -> datetime:
    return datetime.now(UTC)


class _LaneWatch(ObservedGroup):
    """Also has partitions begin again whose topic was made again."""

    def __init__(
        self, observer: Observer, begin_again: Callable[[frozenset[TopicPartition]], None]
    ) -> None:
        super().__init__(observer)
        self._begin_again = begin_again

    def begins(self, group: str, counts: Mapping[TopicPartition, int]) -> None:
        """As GroupWatch. `AgentRunner` has said so, and how to have it otherwise."""

    def removed(self, error: RecordsRemoved) -> None:
        """As GroupWatch."""
        super().removed(error)
        self._begin_again(frozenset(at for at, gap in error.gaps.items() if not gap.missing))


class AgentRunner:
    """One member of an agent's group; up to as many as there are partitions have work."""

    def __init__(
        self,
        agent: AgentDeclaration,
        *,
        bridge: str,
        log: Log,
        codec: SystemTopicCodec,
        events: EventDecoder,
        reads: EntityReads,
        commands: CommandTargets,
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
        self._codec = codec
        self._events = events
        self._reads = reads
        self._commands = commands
        self._observer = observer
        self._clock = clock
        self._backoff = backoff
        self._parked = (
            ParkedKeys(log, codec, agent.name, self._entities)
            if agent.on_failure == "park_key"
            else None
        )
        self._threads = ThreadPoolExecutor(
            min(agent.concurrency, MAX_PLAIN_HANDLER_THREADS),
            thread_name_prefix=f"agent-{agent.name}",
        )
        self._progress = GroupProgress(self._group, observer, clock)
        self._work_by_partition: dict[TopicPartition, PartitionWork] = {}
        self._slots: HandlerSlots[_Job] = HandlerSlots(agent.concurrency)
        self._idle = asyncio.Event()
        self._idle.set()
        self._finished = asyncio.Event()
        self._starting = False
        self._failure: Exception | None = None
        self._stopping = False
        self._ending = False

    @property
    def topics(self) -> list[str]:
        """What it reads: see `agent_topics`."""
        return agent_topics(self._bridge, self._agent)

    async def run(self, stop: asyncio.Event) -> None:
        """Handle events until `stop` is set; then end within a few seconds.

        Raises AgentStopped, RetryLater when the log is away at the start, and what a broken log
        raises.
        """
        await self._log.create_topics([replay_topic_spec(self._bridge, self._agent.name)])
        self._handlers = self._open_handlers()
        watch = BlockedLoopWatch(
            self._agent.name,
            self._agent.handlers,
            self._handlers.thread.ident or 0,
            self._handlers.to_handlers,
            observer=self._observer,
        )
        watching = asyncio.create_task(watch.run(lambda: self._slots.running > 0))
        try:
            if self._parked is not None:
                await self._parked.open()
            await self._begin()
            async with own_partitions(
                self._log,
                self._bridge,
                self._group,
                self.topics,
                self,
                watch=_LaneWatch(self._observer, self._begin_again),
                session_timeout=self._session_timeout,
            ) as owned:
                await self._work(owned, stop)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            await _ended(watching)
            await self._handlers.close(CANCEL_TIMEOUT_S)
            if self._parked is not None:
                await self._parked.close()
        if self._failure is not None:
            raise self._failure

    async def _begin(self) -> None:
        """Say how many old events there are for an agent that has no offsets yet, and leave them out
        where it is to.
        """
        for unread in await unread_topics(self._log, self._group, self._entities):
            reason = start_text(self._agent.name, self._group, unread, self._agent.start)
            self._observer(GroupMoved(self._group, unread.topic, 0, reason))
        while self._agent.start == "now":
            try:
                await commit_end_offsets(self._log, self._bridge, self._group, self._entities)
            except (Fenced, OutcomeUnknown):
                # Another member begins at the same moment. One after the other, they agree.
                await self._sleep(random.uniform(*BEGIN_AGAIN_S))  # noqa: S311 - no secret
            else:
                return

    def _rested(self, job: _Job) -> None:
        """Its handler failed and waits: until it is tried again others have its place."""
        self._slots.rest(job)
        if not self._slots.running:
            self._idle.set()
        self._start_soon()

    async def _resumed(self, job: _Job) -> None:
        await self._slots.resume(job)
        self._idle.clear()

    def _open_handlers(self) -> HandlerLoop[_Job, list[OutgoingEntry]]:
        """The handlers' loop, and all that runs in it."""
        loop: HandlerLoop[_Job, list[OutgoingEntry]] = HandlerLoop(
            f"handlers-{self._agent.name}",
            lambda job: handling.handle(job[1].item, job[1].results),
            self._handled,
            is_dropped=lambda job: job[0].dropped,
            give_up=lambda job, error: handling.give_up(job[1].item, job[1].results, error),
        )
        calls = BridgeCalls(loop)

        async def rest(seconds: float) -> None:
            job = loop.current_job()
            if job is None:
                await self._sleep(seconds)
                return
            calls.post(self._rested, job)
            await self._sleep(seconds)
            await calls.call(lambda: self._resumed(job))

        handling = build_pipeline(
            self._agent,
            PipelineDependencies(
                decoder=BridgeEventDecoder(calls, self._events),
                reads=BridgeReads(calls, self._reads),
                commands=self._commands,
                codec=self._codec,
                parked_keys=None if self._parked is None else BridgeParkedKeys(calls, self._parked),
                max_record_bytes=self._log.max_record_bytes,
                clock=self._clock,
                sleep=self._sleep,
                rest=rest,
                backoff=self._backoff,
                threads=self._threads,
                is_ended=loop.is_ended,
                observer=bridge_observer(calls, self._observer),
                waiting=BridgePartWaiting(calls, self._waiting),
            ),
        )
        return loop

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As Rebalance says: what is under way for these counts no more."""
        for partition in partitions:
            lane = self._work_by_partition.pop(partition, None)
            if lane is not None:
                lane.dropped = True
        self._handlers.cancel()
        if self._parked is not None:
            self._parked.forget(partitions)

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """As Rebalance says."""
        changes = [partition for partition in partitions if partition.topic in self._entities]
        first = await first_offsets(self._log, self._group, changes, self._agent.start)
        for partition in partitions:
            lane = self._work_by_partition[partition] = PartitionWork(
                partition, InFlightEvents(self._agent.unfinished), monotonic()
            )
            # Committed soon, whether or not an event comes: begun again it begins there, too.
            lane.upto = first.get(partition)
        if self._parked is not None:
            self._parked.take_over()
        return first or None

    def _begin_again(self, partitions: frozenset[TopicPartition]) -> None:
        """Their offsets begin again, so that what is under way for these counts no more."""
        if self._parked is not None:
            self._parked.forget(partitions)
        for partition in partitions:
            lane = self._work_by_partition.get(partition)
            if lane is not None:
                lane.dropped = True
                self._work_by_partition[partition] = PartitionWork(
                    partition, InFlightEvents(self._agent.unfinished), monotonic()
                )
        self._handlers.cancel()

    async def _work(self, owned: PartitionOwner, stop: asyncio.Event) -> None:
        reading = asyncio.create_task(self._read(owned))
        writing = asyncio.create_task(self._write(owned))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((reading, writing, stopping), return_when=asyncio.FIRST_COMPLETED)
            broken = [task for task in (reading, writing) if task.done()]
            self._stopping = True
            await _ended(reading)
            await self._let_finish()
            self._ending = True
            self._finished.set()
            # A transaction that is under way is not cut short: whether a commit that is
            # cancelled happened only the log knows, and what is written next depends on it.
            await asyncio.wait((writing,), timeout=FINISH_TIMEOUT_S)
            if writing.done() and not writing.cancelled() and writing.exception() is None:
                await self._write_all(owned)
            for task in broken:
                task.result()
        finally:
            await asyncio.gather(*map(_ended, (reading, writing)), _ended(stopping))
            await self.revoked(frozenset(self._work_by_partition))

    async def _read(self, owned: PartitionOwner) -> None:
        failures = 0
        while self._failure is None:
            full = [
                partition
                for partition, lane in self._work_by_partition.items()
                if lane.in_flight.full
            ]
            free = [lane for lane in self._work_by_partition.values() if not lane.in_flight.full]
            owned.member.pause(full)
            owned.member.resume(lane.partition for lane in free)
            room = min(
                (self._agent.unfinished - len(lane.in_flight) for lane in free),
                default=self._agent.unfinished,
            )
            try:
                records = await owned.read(room, FULL_READ_TIMEOUT_S if full else READ_TIMEOUT_S)
            except RetryLater as error:
                failures += 1
                self._waiting.tried(failures, str(error), "read")
                await self._sleep(READ_TIMEOUT_S)
                continue
            if failures:
                failures = 0
                self._waiting.tried(0, "", "read")
            for record in records:
                lane = self._work_by_partition.get(TopicPartition(record.topic, record.partition))
                # Without a lane the partition was lost since; its records come again.
                if lane is not None:
                    lane.in_flight.add(record.offset, record.key, record)
            self._start()

    def _start(self) -> None:
        """Start what may start, taking turns between the partitions."""
        if self._stopping or self._failure is not None:
            return
        lanes = list(self._work_by_partition.values())
        slots = self._slots
        while lanes and slots.has_room():
            going = []
            for lane in lanes:
                if not slots.has_room():
                    break
                slot = lane.in_flight.start()
                if slot is None:
                    continue
                going.append(lane)
                slots.start()
                self._handlers.start((lane, slot))
            lanes = going
        if slots.running:
            self._idle.clear()
        self._handlers.send()

    def _handled(
        self, job: _Job, written: list[OutgoingEntry] | None, error: Exception | None
    ) -> None:
        """What became of a job; called in the bridge's loop."""
        lane, slot = job
        self._slots.end(job)
        if not self._slots.running:
            self._idle.set()
        if not lane.dropped:
            if error is not None:
                self._failure = self._failure or error
            else:
                lane.in_flight.finish(slot, written or [])
            self._finished.set()
        self._start_soon()

    def _start_soon(self) -> None:
        if not self._starting:
            # At the end of this turn of the loop, when others have finished, too.
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start_more)

    def _start_more(self) -> None:
        self._starting = False
        self._start()

    async def _let_finish(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await self._idle.wait()

    async def _write(self, owned: PartitionOwner) -> None:
        while not self._ending and self._failure is None:
            await _set_within(self._finished, OFFSETS_EVERY_S)
            owes = any(len(lane.in_flight) for lane in self._work_by_partition.values())
            self._progress.note(owes=owes, progressed=self._finished.is_set())
            self._finished.clear()
            await self._write_all(owned)

    async def _write_all(self, owned: PartitionOwner) -> None:
        lanes = list(self._work_by_partition.values())
        for lane in lanes:
            lane.gather()
        now = monotonic()
        due = [lane for lane in lanes if lane.due(now) or (self._ending and lane.upto is not None)]
        await asyncio.gather(*(self._write_partition(owned, lane) for lane in due))

    async def _write_partition(self, owned: PartitionOwner, lane: PartitionWork) -> None:
        failures_before = 0

        def report(failures: int, reason: str) -> None:
            nonlocal failures_before
            failures_before = failures
            self._waiting.tried(failures, reason, "write")

        async def write() -> None:
            assert lane.upto is not None, "only partitions with something to write"  # noqa: S101
            if lane.dropped or (self._ending and failures_before):
                return
            async with owned.transaction(lane.partition) as transaction:
                for topic, entries in lane.by_topic().items():
                    await transaction.append(topic, entries)
                transaction.commit_offsets(self._group, {lane.partition: lane.upto})
            lane.wrote(monotonic())
            self._waiting.tried(0, "", "write")

        try:
            await retry(write, RetryPolicy(max_wait_s=5.0), report=report, sleep=self._sleep)
        except (Fenced, OutcomeUnknown):
            # The next read takes the partition again, or finds that it is another's now.
            if self._work_by_partition.get(lane.partition) is lane:
                await self.revoked(frozenset({lane.partition}))


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
