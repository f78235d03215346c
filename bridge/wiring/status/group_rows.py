"""Consumer groups with their lag, as rows of partitions or of topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.log.group_lag import partition_lags
from bridge.log.group_partitions import group_partitions
from bridge.log.port import GroupInfo, Log
from bridge.wiring.group_state import NOT_READING


async def group_rows(log: Log, groups: Mapping[str, GroupInfo]) -> list[dict[str, Any]]:
    """One row for each partition of the topics that a group reads or committed for. `missing`:
    records that were removed before the group read them.
    """
    topic_infos = await log.topics()
    committed = {
        name: {
            partition: info.committed.get(partition)
            for partition in group_partitions(info, topic_infos)
        }
        for name, info in groups.items()
    }
    return [
        {
            "group": lag.group,
            "members": len(groups[lag.group].members),
            "topic": lag.partition.topic,
            "partition": lag.partition.partition,
            "committed": lag.committed,
            "end": lag.end,
            "lag": lag.records,
            "missing": lag.missing,
        }
        for lag in await partition_lags(log, committed)
    ]


def summed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of partitions as one row for each group and topic. Pure."""
    rows_by_topic: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        topic_key = (row["group"], row["topic"])
        total = rows_by_topic.setdefault(
            topic_key,
            {
                "group": row["group"],
                "topic": row["topic"],
                "members": row["members"],
                "partitions": 0,
                "lag": 0,
                "missing": 0,
            },
        )
        total["partitions"] += 1
        total["lag"] += row["lag"]
        total["missing"] += row["missing"]
    return list(rows_by_topic.values())


def without_lag(rows: list[dict[str, Any]], states: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of groups with their states, without a lag for groups that no longer read. Pure."""
    return [
        {**row, "state": states[row["group"]]}
        | ({"lag": None, "missing": None} if states[row["group"]] in NOT_READING else {})
        for row in rows
    ]
