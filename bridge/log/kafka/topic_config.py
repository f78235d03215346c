"""Converts topic specs to Kafka's configuration entries and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.log.kafka.settings import MAX_BATCH_BYTES
from bridge.log.port import Cleanup, TopicSpec
from bridge.log.topic_specs import TOMBSTONE_RETENTION_MS

_UNLIMITED: Final = "-1"
_HOUR_MS: Final = 3_600_000
#: Brokers from 3.6 on refuse records from the future (from 4.0 on: an hour); clocks of legacy
#: systems are not ours to judge. Older brokers don't know the entry.
NEWER_ENTRIES: Final = {"message.timestamp.after.max.ms": str(2**63 - 1)}


def entries_of(spec: TopicSpec, min_insync: int | None) -> dict[str, str]:
    """The configuration entries for `spec`."""
    entries = {
        "cleanup.policy": spec.cleanup,
        "max.message.bytes": str(MAX_BATCH_BYTES),
        **NEWER_ENTRIES,
    }
    if spec.cleanup == "compact":
        history = spec.history_ms or 0
        entries["min.compaction.lag.ms"] = str(history)
        # Tombstones are kept longer than the records that they delete, so that a lagging reader
        # sees them.
        entries["delete.retention.ms"] = str(history or TOMBSTONE_RETENTION_MS)
        # Only closed segments are compacted, and only if half of them is obsolete: internal topics
        # with few records never would be.
        entries["segment.ms"] = str(max(_HOUR_MS, min(history // 4, 7 * 24 * _HOUR_MS)))
        entries["min.cleanable.dirty.ratio"] = "0.2"
    else:
        kept = spec.retention_ms
        entries["retention.ms"] = _UNLIMITED if kept is None else str(kept)
        entries["retention.bytes"] = _UNLIMITED
    if min_insync is not None:
        entries["min.insync.replicas"] = str(min_insync)
    return entries


def spec_of(name: str, partitions: int, entries: Mapping[str, str | None]) -> TopicSpec:
    """A topic's spec from its configuration. `compact,delete` counts as `delete`, because records
    are removed.
    """
    cleanup: Cleanup = "compact" if entries.get("cleanup.policy") == "compact" else "delete"
    if cleanup == "compact":
        history = int(entries.get("min.compaction.lag.ms") or 0)
        return TopicSpec(name, cleanup, partitions, history_ms=history or None)
    kept = int(entries.get("retention.ms") or _UNLIMITED)
    return TopicSpec(name, cleanup, partitions, retention_ms=None if kept < 0 else kept)
