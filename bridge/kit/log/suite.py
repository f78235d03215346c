"""All of the suite in one class."""

from __future__ import annotations

import pytest

from bridge.kit.log.compaction import CompactionSuite
from bridge.kit.log.crashes import CrashSuite
from bridge.kit.log.fencing import FencingSuite
from bridge.kit.log.group_offsets import GroupOffsetSuite
from bridge.kit.log.groups import GroupSuite
from bridge.kit.log.high_watermarks import HighWatermarkSuite
from bridge.kit.log.model import ModelSuite
from bridge.kit.log.partition_owner import PartitionOwnerSuite
from bridge.kit.log.reading import ReadingSuite
from bridge.kit.log.records import RecordSuite
from bridge.kit.log.topics import TopicSuite
from bridge.kit.log.transactions import TransactionSuite


@pytest.mark.asyncio
class LogSuite(
    RecordSuite,
    ReadingSuite,
    TopicSuite,
    GroupSuite,
    GroupOffsetSuite,
    TransactionSuite,
    HighWatermarkSuite,
    FencingSuite,
    CompactionSuite,
    PartitionOwnerSuite,
    CrashSuite,
    ModelSuite,
):
    """Everything that `bridge.log.port` promises. Subclass it and define `under_test`."""
