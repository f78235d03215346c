"""Every group: its live members and what it committed."""

from __future__ import annotations

import json
import sqlite3

from bridge.log.port import GroupInfo, TopicPartition


def listed(connection: sqlite3.Connection, now: int) -> dict[str, GroupInfo]:
    """By name, in order; groups that only ever had members are listed too."""
    members: dict[str, list[str]] = {}
    topics: dict[str, set[str]] = {}
    committed: dict[str, dict[TopicPartition, int]] = {}
    for (group,) in connection.execute("SELECT name FROM consumer_group"):
        members[group] = []
    for group, name, subscribed in connection.execute(
        "SELECT consumer_group, name, topics FROM member WHERE expiry >= ? ORDER BY name", (now,)
    ):
        members[group].append(name)
        topics.setdefault(group, set()).update(json.loads(subscribed))
    for group, topic, number, at in connection.execute(
        "SELECT c.consumer_group, p.topic, p.number, c.next FROM committed c "
        "JOIN partition p ON p.id = c.partition ORDER BY p.topic, p.number"
    ):
        committed.setdefault(group, {})[TopicPartition(topic, number)] = at
    return {
        group: GroupInfo(
            group,
            tuple(members.get(group, ())),
            committed.get(group, {}),
            frozenset(topics.get(group, ())),
        )
        for group in sorted(members.keys() | committed.keys())
    }
