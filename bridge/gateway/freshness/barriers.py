"""Barriers: how this process proves, on its own clock, what its copy of a system contains. Pure.

A barrier is a watermark that is written into the source. What was committed before that is captured
before it, so once the follower has everything that capture wrote before the barrier came back, its
copy contains all that was committed when the barrier was begun. Neither the source's clock nor
capture's has a part in it.

A barrier is passed when its checkpoint was read in the positions topic, *then* the high watermarks of
the entity's and of the dead letters' partitions were taken, and the follower has read up to these.
Last stable offsets would not do: the commit markers of one log transaction reach its partitions one
after the other, so a partition's last stable offset may still be before records that the checkpoint
counts as written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.gateway.freshness.partition_proofs import PartitionProofs, expect_all, last_passed
from bridge.log.port import TopicPartition
from bridge.model.freshness import Freshness, oldest

BARRIER_INTERVAL_S: Final = 0.05
"""Between two barriers of a system, however many reads wait."""
BARRIER_EXPIRES_S: Final = 5.0
"""A barrier that has not come back by then may be lost, so that another one is begun for those who
wait.
"""


class Barrier(NamedTuple):
    """A watermark to write into the source now.

    number: 1, 2, …; of this tracker.
    name: for the source, unique if the tracker's `name` is.
    begun_at: on this process's clock, before it is written.
    """

    number: int
    name: str
    begun_at: float


class WatermarkRequest(NamedTuple):
    """Take the high watermarks of all `partitions` now, and no earlier. `barrier`: whose checkpoint
    was read; `epoch`, `position`: of that checkpoint; `limits`: see `read_checkpoint`.
    """

    barrier: Barrier
    partitions: frozenset[TopicPartition]
    epoch: int
    position: str
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class BarrierWait:
    """One who waits for a proof about an entity: only the barrier with this number or a later one,
    begun after the wait, counts.
    """

    entity: str
    number: int


class BarrierTracker:
    """The barriers of one system, and what they have proved about its entities. Used by one task.

    system: its name. name: begins the names of its barriers; of one tracker only.
    partitions: bare entity name -> the partitions of its change topic.
    dead_letters: the partitions of the dead-letter topic; without them a row that failed would
    count as never changed.
    """

    def __init__(
        self,
        system: str,
        name: str,
        partitions: Mapping[str, Collection[TopicPartition]],
        dead_letters: Collection[TopicPartition],
    ) -> None:
        self._system = system
        self._name = name
        self._partitions = {
            entity: frozenset(own).union(dead_letters) for entity, own in partitions.items()
        }
        self._entity_of = {each: entity for entity, own in partitions.items() for each in own}
        nothing = Freshness(system, 0)
        self._proofs = {
            partition: PartitionProofs(nothing)
            for partition in frozenset().union(*self._partitions.values(), dead_letters)
        }
        self._claims = dict.fromkeys(self._partitions, nothing)
        self._waits: set[BarrierWait] = set()
        self._last: Barrier | None = None
        self._outstanding: Barrier | None = None
        self._request: WatermarkRequest | None = None
        self._measured = 0
        self._epoch = 0

    def wait(self, entity: str) -> BarrierWait:
        """Wait for a barrier that is begun from now on. Call `leave` in the end, in any case."""
        wait = BarrierWait(entity, self._last.number + 1 if self._last else 1)
        self._waits.add(wait)
        return wait

    def leave(self, wait: BarrierWait) -> None:
        """Stop waiting, answered or not."""
        self._waits.discard(wait)

    def has_passed(self, wait: BarrierWait) -> bool:
        """Whether a barrier that counts for it was passed."""
        proofs = [self._proofs[each] for each in self._partitions[wait.entity]]
        return last_passed(proofs) >= wait.number

    def next_begin(self, now: float) -> float | None:
        """When to call `begin`; None while no barrier is needed: nobody waits, or all who wait do so
        for the outstanding one, or for the follower.
        """
        if not self._waits:
            return None
        if self._outstanding is not None:
            return max(now, self._outstanding.begun_at + BARRIER_EXPIRES_S)
        if max(wait.number for wait in self._waits) <= self._measured:
            return None
        return now if self._last is None else max(now, self._last.begun_at + BARRIER_INTERVAL_S)

    def begin(self, now: float) -> Barrier | None:
        """The barrier to write into the source now, if it is time. Writing it must begin after
        `now` was taken; call `fail` if it could not be written.
        """
        due = self.next_begin(now)
        if due is None or now < due:
            return None
        number = self._last.number + 1 if self._last else 1
        self._last = self._outstanding = Barrier(number, f"{self._name}-{number}", now)
        self._request = None
        return self._last

    def fail(self, barrier: Barrier) -> None:
        """It was not written, or its high watermarks could not be taken: another one is needed."""
        if barrier == self._outstanding:
            self._outstanding = self._request = None

    def read_checkpoint(
        self, name: str, epoch: int, position: str, limits: Mapping[str, float] | None = None
    ) -> WatermarkRequest | None:
        """A checkpoint was read in the positions topic. Returns what to take now if it is that of the
        outstanding barrier.

        name: of the barrier that it is written for; empty, or another process's: only its epoch
        counts.
        position: everything up to it is in the log.
        limits: bare entity name -> the latest `as_of` that can be claimed of it, of those whose
        deletes are compared (see `comparisons`).
        """
        if epoch < self._epoch:
            return None
        if epoch > self._epoch:
            self._change_epoch(epoch)
        barrier = self._outstanding
        if barrier is None or barrier.name != name:
            return None
        partitions = frozenset(self._proofs)
        self._request = WatermarkRequest(barrier, partitions, epoch, position, limits or {})
        return self._request

    def set_high_watermarks(
        self, request: WatermarkRequest, high_watermarks: Mapping[TopicPartition, int]
    ) -> None:
        """The offsets after the last record of each partition, committed or not, taken after
        `request` was returned. A partition that is missing proves nothing. Ignored for a barrier
        that is no longer outstanding.
        """
        if request is not self._request:
            return
        barrier, limits = request.barrier, request.limits
        claim = Freshness(self._system, request.epoch, request.position, barrier.begun_at)
        by_partition = {
            partition: limits[entity]
            for partition, entity in self._entity_of.items()
            if entity in limits
        }
        expect_all(self._proofs, high_watermarks, barrier.number, claim, by_partition)
        self._measured = barrier.number
        self._outstanding = self._request = None
        self._update_claims()

    def reach(self, positions: Mapping[TopicPartition, int]) -> None:
        """The follower has applied everything before these offsets."""
        advances = [
            self._proofs[partition].reach(position)
            for partition, position in positions.items()
            if partition in self._proofs
        ]
        if any(advances):
            self._update_claims()

    def restart(self, partitions: Collection[TopicPartition]) -> None:
        """The follower begins these partitions again, such as after a rebalance."""
        for partition in partitions:
            if partition in self._proofs:
                self._proofs[partition].restart()
        self._measured = 0  # whoever waited for their proofs needs another barrier
        self._update_claims()

    def forget(self, entities: Collection[str]) -> None:
        """Doubts of these entities ended, by a checkpoint that was read just now: what was proved or
        measured before it doesn't contain what ended them. Call it before `read_checkpoint` with it.
        """
        if not entities:
            return
        for partition, entity in self._entity_of.items():
            if entity in entities:
                self._proofs[partition].forget(self._epoch)
        if self._request is not None:
            self._outstanding = self._request = None
        self._measured = 0
        self._update_claims()

    def claim(self, entity: str) -> Freshness:
        """What is proved about the follower's copy of an entity; doubts apart. The same object until
        it changes.
        """
        return self._claims[entity]

    def _change_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        if self._request is not None:
            self._outstanding = self._request = None
        for proofs in self._proofs.values():
            proofs.forget(epoch)
        self._measured = 0
        self._update_claims()

    def _update_claims(self) -> None:
        for entity, partitions in self._partitions.items():
            claim = oldest(self._proofs[each].claim for each in partitions)
            if claim != self._claims[entity]:
                self._claims[entity] = claim


__all__ = [
    "BARRIER_EXPIRES_S",
    "BARRIER_INTERVAL_S",
    "Barrier",
    "BarrierTracker",
    "BarrierWait",
    "WatermarkRequest",
]
