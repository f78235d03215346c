"""What becomes of barriers in groups that are merged into one log transaction."""

from __future__ import annotations

from bridge.capture.barriers.record import BarrierRecord
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.capture.outbox import RecordGroup

FIRST, SECOND = BarrierRecord(1, 0, "p1", ("a", "b")), BarrierRecord(2, 0, "p2", ("b", "c"))


def group(barrier: BarrierRecord | None, *, checkpointed: bool) -> RecordGroup:
    return RecordGroup(CheckpointRecord(), checkpointed=checkpointed, barrier=barrier)


def test_one_record_answers_for_both_barriers() -> None:
    merged = group(FIRST, checkpointed=False)
    merged.merge(group(SECOND, checkpointed=False))
    assert merged.barrier == BarrierRecord(2, 0, "p2", ("a", "b", "c"))
    assert not merged.checkpointed


def test_a_barrier_is_kept_whichever_group_has_it_and_the_checkpoint_too() -> None:
    for first, second in ((FIRST, None), (None, FIRST)):
        for checkpointed in (False, True):
            merged = group(first, checkpointed=checkpointed)
            merged.merge(group(second, checkpointed=not checkpointed))
            assert merged.barrier == FIRST
            assert merged.checkpointed
