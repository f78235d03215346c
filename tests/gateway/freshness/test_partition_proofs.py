"""What a partition is still expected to prove."""

from __future__ import annotations

from bridge.gateway.freshness.partition_proofs import PartitionProofs, PendingProof
from bridge.model.freshness import Freshness


def test_two_proofs_are_kept_however_many_barriers_a_follower_lags() -> None:
    """The first is passed next; the newest supersedes those between."""
    proofs = PartitionProofs(Freshness("erp", 1))
    for number in range(1, 1_001):
        proofs.expect(PendingProof(number * 10, number, Freshness("erp", 1, "", float(number))))
    assert [proof.number for proof in proofs._pending] == [1, 1_000]
    assert proofs.reach(500)
    assert (proofs.passed, proofs.claim.as_of) == (1, 1.0)
    assert proofs.reach(10_000)
    assert (proofs.passed, proofs.claim.as_of) == (1_000, 1_000.0)
