"""What only logs raise: an entry that is too large, and records that were removed. Public as
`bridge.log.port`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bridge.log.port.values import TopicPartition
from bridge.model.errors import BridgeError, Rejected


class RecordTooLarge(Rejected):
    """An entry exceeds the log's record limit; nothing of its batch was appended."""

    def __init__(self, message: str) -> None:
        super().__init__("record_too_large", message)


class Gap(NamedTuple):
    """Records of one partition that a group or a reader can't read any more.

    position: the offset that it would have read next
    begin: the first offset that still exists, where it resumes; at or before `position` when the
        topic was created again or its end was lost
    """

    position: int
    begin: int

    @property
    def missing(self) -> int:
        """How many offsets lie in between, transaction markers included."""
        return max(0, self.begin - self.position)


class RecordsRemoved(BridgeError):
    """Records were removed, by retention or by hand, before a group or a reader had read them.

    group: the group; empty: a reader without one
    gaps: what is missing, by partition
    """

    def __init__(self, group: str, gaps: Mapping[TopicPartition, Gap]) -> None:
        self.group = group
        self.gaps = dict(gaps)
        who = f"group {group}" if group else "reader"
        super().__init__(
            "; ".join(
                f"{who}: {gap_text(partition, gap)}" for partition, gap in sorted(gaps.items())
            )
        )


def gap_text(partition: TopicPartition, gap: Gap) -> str:
    """A sentence about what is missing of a partition."""
    where = f"{partition.topic}, partition {partition.partition}"
    if gap.missing:
        return (
            f"of {where}, up to {gap.missing} records from offset {gap.position} on were removed "
            "before they were read (by retention, or by hand)"
        )
    return (
        f"{where} ends before offset {gap.position}, up to which it was read: the topic was made "
        "again, or its end was lost"
    )
