"""What is proved of each partition, and what will be once the follower has read on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bridge.log.port import TopicPartition
from bridge.model.freshness import Freshness, advanced


@dataclass(frozen=True, slots=True)
class PendingProof:
    """`claim` holds for a partition once everything before offset `end` was read. `number`: of the
    barrier that proves it.
    """

    end: int
    number: int
    claim: Freshness


@dataclass(slots=True)
class PartitionProofs:
    """The claim about one partition. Used by one task.

    claim: proved so far.
    passed: the number of the last barrier that was passed; 0: none.
    """

    claim: Freshness
    passed: int = 0
    _position: int = -1
    _pending: list[PendingProof] = field(default_factory=list)

    def expect(self, proof: PendingProof) -> None:
        """Add a proof, with the high watermark that was taken for it. Two are kept: the first, which
        is passed next, and the newest, which supersedes those between.
        """
        self._pending = [*self._pending[:1], proof]
        self._settle()

    def reach(self, position: int) -> bool:
        """The follower has read everything before this offset; returns whether the claim advanced."""
        self._position = max(self._position, position)
        return self._settle()

    def restart(self) -> None:
        """The follower begins this partition again: what it had read no longer counts."""
        self.claim = Freshness(self.claim.system, self.claim.epoch)
        self.passed, self._position = 0, -1

    def forget(self, epoch: int) -> None:
        """Nothing proved or expected so far holds; the next proofs are of this epoch."""
        self.claim, self.passed = Freshness(self.claim.system, epoch), 0
        self._pending.clear()

    def _settle(self) -> bool:
        reached = [proof for proof in self._pending if proof.end <= self._position]
        for proof in reached:
            self.claim = advanced(self.claim, proof.claim)
            self.passed = max(self.passed, proof.number)
            self._pending.remove(proof)
        return bool(reached)


def expect_all(
    proofs: Mapping[TopicPartition, PartitionProofs],
    high_watermarks: Mapping[TopicPartition, int],
    number: int,
    claim: Freshness,
    limits: Mapping[TopicPartition, float],
) -> None:
    """Expect `claim` of each partition whose high watermark is in the mapping; `limits`: the latest
    `as_of` that can be claimed of it.
    """
    for partition, end in high_watermarks.items():
        if partition in proofs:
            as_of = min(claim.as_of, limits.get(partition, claim.as_of))
            proofs[partition].expect(PendingProof(end, number, replace(claim, as_of=as_of)))


def last_passed(proofs: Iterable[PartitionProofs]) -> int:
    """The number of the last barrier that all of these have passed."""
    return min((proof.passed for proof in proofs), default=0)
