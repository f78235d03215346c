"""Which event is handled next: partitions take turns, within the agent's limit of concurrency."""

from __future__ import annotations

import asyncio

from bridge.agent.assigned_partitions import AssignedPartitions
from bridge.agent.handler_loop import HandlerLoop
from bridge.agent.handler_slots import HandlerSlots
from bridge.agent.in_flight import InFlightEvent
from bridge.agent.partition_work import PartitionWork
from bridge.agent.pipeline.delivery import OutgoingEntry
from bridge.log.port import Record

Job = tuple[PartitionWork, InFlightEvent[Record, OutgoingEntry]]


class HandlerSchedule:
    """Starts jobs in the handlers' loop and collects their results; used in the bridge's loop only.

    `handlers`: the loop, set before `start`.
    `finished`: set whenever a job has ended; whoever waits for it clears it.
    `failure`: the first error that ends the agent. No job is started after it.
    """

    handlers: HandlerLoop[Job, list[OutgoingEntry]]

    def __init__(self, partitions: AssignedPartitions, concurrency: int) -> None:
        self._partitions = partitions
        self.slots: HandlerSlots[Job] = HandlerSlots(concurrency)
        self.finished = asyncio.Event()
        self.failure: Exception | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._starting = False
        self._stopping = False

    def start(self) -> None:
        """Start the jobs that may start, round-robin over the partitions."""
        if self._stopping or self.failure is not None:
            return
        candidates = list(self._partitions)
        slots = self.slots
        while candidates and slots.has_room():
            started = []
            for work in candidates:
                if not slots.has_room():
                    break
                event = work.in_flight.start()
                if event is None:
                    continue
                started.append(work)
                slots.start()
                self.handlers.start((work, event))
            candidates = started
        if slots.running:
            self._idle.clear()
        self.handlers.send()

    def handled(
        self, job: Job, entries: list[OutgoingEntry] | None, error: Exception | None
    ) -> None:
        """A job has ended, with the entries to write or an error that ends the agent."""
        work, event = job
        self.slots.end(job)
        if not self.slots.running:
            self._idle.set()
        if not work.dropped:
            if error is not None:
                self.failure = self.failure or error
            else:
                work.in_flight.finish(event, entries or [])
            self.finished.set()
        self._start_soon()

    def rested(self, job: Job) -> None:
        """Its handler failed and waits: others may use its slot until the retry."""
        self.slots.rest(job)
        if not self.slots.running:
            self._idle.set()
        self._start_soon()

    async def resumed(self, job: Job) -> None:
        """Wait for a slot to retry its handler."""
        await self.slots.resume(job)
        self._idle.clear()

    def stop(self) -> None:
        """Start no more jobs."""
        self._stopping = True

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until no handler runs, for at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return

    def _start_soon(self) -> None:
        if not self._starting:
            # At the end of this iteration of the loop, when other jobs may have finished too.
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start_more)

    def _start_more(self) -> None:
        self._starting = False
        self.start()
