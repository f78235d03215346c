"""What every event log promises. `bridge.kit.log` is the suite that every implementation passes.

Timestamps are milliseconds since 1970 (UTC), as in Kafka. The offsets of a partition rise and may
have gaps. A record's partition is murmur2 of its key (Kafka's default), the same in every log.

Cancellation: every coroutine may be cancelled; what it was about to write is then written wholly or
not at all.

Concurrency: a Log may be used by any number of tasks of one event loop, a Producer and a Consumer
by one task at a time.

Errors, by what the caller should do:
  RetryLater          the log is unavailable, busy or its disk is full: nothing was written, try
  again later OutcomeUnknown      the answer to a commit was lost: open a new Producer under the
  same transactional id, which ends that transaction one way or the other, then read what was
  written Fenced              another process has taken over: stop and drop what is in progress
  ConfigurationError  fix the configuration, the topic or the rights
  Rejected            the request itself is wrong, and would be next time
"""

from __future__ import annotations

from bridge.log.port.errors import Gap, RecordsRemoved, RecordTooLarge, gap_text
from bridge.log.port.log import Consumer, Log, Producer, Rebalance, Transaction
from bridge.log.port.values import (
    Cleanup,
    Entry,
    GroupInfo,
    Headers,
    Record,
    TopicInfo,
    TopicPartition,
    TopicSpec,
)

__all__ = [
    "Cleanup",
    "Consumer",
    "Entry",
    "Gap",
    "GroupInfo",
    "Headers",
    "Log",
    "Producer",
    "Rebalance",
    "Record",
    "RecordTooLarge",
    "RecordsRemoved",
    "TopicInfo",
    "TopicPartition",
    "TopicSpec",
    "Transaction",
    "gap_text",
]
