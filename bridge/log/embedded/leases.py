"""Groups as rows: members with an expiry, leases with the generation in which they were taken.

Every member computes the same target from the same rows and acts on its own leases only: it
returns what the target assigns to others, and takes what is free. A lease is free once its holder
has returned it or was found dead. The group's generation rises with each such step; a lease carries
the generation in which it was taken, and a write under it is refused once that lease is gone or was
taken again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.log.embedded.assign import assign
from bridge.model.errors import Fenced, Rejected


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member and its subscription; it counts as dead after `session_ms` without a heartbeat."""

    group: str
    name: str
    topics: tuple[str, ...]
    session_ms: int


@dataclass(frozen=True, slots=True)
class LeaseView:
    """What a member holds (partition id -> generation), and which of these it should return."""

    generation: int
    held: Mapping[int, int]
    surplus: frozenset[int]


def generation_of(connection: sqlite3.Connection, group: str) -> int:
    """Rises whenever members or leases of the group change."""
    row = connection.execute(
        "SELECT generation FROM consumer_group WHERE name = ?", (group,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def _advance(connection: sqlite3.Connection, group: str) -> int:
    (generation,) = connection.execute(
        "INSERT INTO consumer_group VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET generation = generation + 1 RETURNING generation",
        (group,),
    ).fetchone()
    return int(generation)


def _bury(connection: sqlite3.Connection, group: str, now: int) -> None:
    """Remove members that are past their expiry (or, after the clock was set back, far before)."""
    dead = connection.execute(
        "DELETE FROM member WHERE consumer_group = ?1 AND "
        "(expiry < ?2 OR expiry > ?2 + session_ms + 1000) RETURNING name",
        (group, now),
    ).fetchall()
    for (name,) in dead:
        connection.execute(
            "DELETE FROM lease WHERE consumer_group = ? AND member = ?", (group, name)
        )
    if dead:
        _advance(connection, group)


def enter(connection: sqlite3.Connection, me: GroupMember, now: int) -> None:
    """Become a member, without partitions yet."""
    connection.execute(
        "INSERT INTO member VALUES (?, ?, ?, ?, ?)",
        (me.group, me.name, json.dumps(me.topics), me.session_ms, now + me.session_ms),
    )
    _advance(connection, me.group)


def renew(connection: sqlite3.Connection, me: GroupMember, now: int) -> bool:
    """A heartbeat; False if it comes too late and others may have taken over."""
    # The late member removes itself here too: others may not have checked yet.
    _bury(connection, me.group, now)
    return (
        connection.execute(
            "UPDATE member SET expiry = ? WHERE consumer_group = ? AND name = ?",
            (now + me.session_ms, me.group, me.name),
        ).rowcount
        == 1
    )


def rebalance(
    connection: sqlite3.Connection, me: GroupMember, release: Iterable[int], now: int
) -> LeaseView:
    """Send a heartbeat, return `release`, and take what is free and meant for this member."""
    if not renew(connection, me, now):
        enter(connection, me, now)
    for partition_id in release:
        connection.execute(
            "DELETE FROM lease WHERE consumer_group = ? AND partition = ? AND member = ?",
            (me.group, partition_id, me.name),
        )
        _advance(connection, me.group)
    members = {
        name: frozenset(json.loads(topics))
        for name, topics in connection.execute(
            "SELECT name, topics FROM member WHERE consumer_group = ?", (me.group,)
        )
    }
    leases = {
        partition_id: (name, generation)
        for partition_id, name, generation in connection.execute(
            "SELECT partition, member, generation FROM lease WHERE consumer_group = ?", (me.group,)
        )
    }
    wanted = json.dumps(sorted(frozenset().union(*members.values())))
    partitions = connection.execute(
        "SELECT id, topic FROM partition WHERE topic IN (SELECT value FROM json_each(?))", (wanted,)
    ).fetchall()
    target = assign(
        members, partitions, {partition_id: name for partition_id, (name, _) in leases.items()}
    )
    held = {partition_id: at for partition_id, (name, at) in leases.items() if name == me.name}
    surplus = frozenset(
        partition_id for partition_id in held if target.get(partition_id) != me.name
    )
    free = [
        partition_id
        for partition_id, name in target.items()
        if name == me.name and partition_id not in leases
    ]
    generation = generation_of(connection, me.group)
    if free:
        generation = _advance(connection, me.group)
        connection.executemany(
            "INSERT INTO lease VALUES (?, ?, ?, ?)",
            ((me.group, partition_id, me.name, generation) for partition_id in free),
        )
        held |= dict.fromkeys(free, generation)
    return LeaseView(generation, held, surplus)


def check_leases(
    connection: sqlite3.Connection, me: GroupMember, generations: Mapping[int, int]
) -> None:
    """Raises Fenced unless the member still holds each of these in that generation."""
    for partition_id, generation in generations.items():
        row = connection.execute(
            "SELECT 1 FROM lease WHERE consumer_group = ? AND partition = ? AND member = ? "
            "AND generation = ?",
            (me.group, partition_id, me.name, generation),
        ).fetchone()
        if row is None:
            raise Fenced(
                f"group {me.group} has assigned a partition of this member to another one: nothing "
                "was committed; drop what is in progress and continue reading"
            )


def leave(connection: sqlite3.Connection, me: GroupMember) -> None:
    """Return everything at once."""
    for statement in (
        "DELETE FROM lease WHERE consumer_group = ? AND member = ?",
        "DELETE FROM member WHERE consumer_group = ? AND name = ?",
    ):
        connection.execute(statement, (me.group, me.name))
    _advance(connection, me.group)


def check_deserted(connection: sqlite3.Connection, group: str, now: int) -> None:
    """Raises Rejected while the group has live members."""
    _bury(connection, group, now)
    names = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM member WHERE consumer_group = ?", (group,)
        )
    ]
    if names:
        raise Rejected(
            "group_is_live",
            f"group {group} has live members ({', '.join(names)}): stop them first",
        )


def delete(connection: sqlite3.Connection, group: str, now: int) -> None:
    """Forget a group and its offsets. Raises Rejected while it has live members."""
    check_deserted(connection, group, now)
    for statement in (
        "DELETE FROM lease WHERE consumer_group = ?",
        "DELETE FROM committed WHERE consumer_group = ?",
        "DELETE FROM consumer_group WHERE name = ?",
    ):
        connection.execute(statement, (group,))
