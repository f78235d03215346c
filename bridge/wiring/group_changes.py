"""Changes of consumer groups that only a person makes."""

from __future__ import annotations

from bridge.agent.group import agent_group
from bridge.config import Config
from bridge.log.group_lag import PartitionLag, partition_lags
from bridge.log.port import GroupInfo, Log
from bridge.wiring.agents import load_agents
from bridge.wiring.declared_groups import declared_groups
from bridge.wiring.group_state import UNFINISHED


def live_members(group: GroupInfo) -> str:
    """Why nothing of a group can be changed now; empty if it can. Pure."""
    if not group.members:
        return ""
    return f"group {group.name!r} has live members ({', '.join(group.members)}): stop them first"


async def delete_group(log: Log, group: str, state: str) -> None:
    """Delete a group with its offsets.

    state: of the group, by `group_state`
    """
    if state == UNFINISHED:
        # A replay is no group member. Its producer is fenced, so that it commits nothing more: its
        # later commits would look like its whole progress.
        await (await log.producer(group)).close()
    await log.delete_group(group)


def declared_topics(config: Config, group: str) -> frozenset[str] | None:
    """The topics of a group that the configuration declares; None if it doesn't. Agents' files are
    only run if it may be an agent's group.
    """
    is_agents = group.startswith(agent_group(config.bridge, ""))
    agents = load_agents(config.agents) if is_agents else ()
    return declared_groups(config, agents).get(group)


async def removed_before_read(log: Log, group: GroupInfo) -> list[PartitionLag]:
    """The partitions of which records were removed before the group had read them: it can only
    continue at `PartitionLag.start`. Topics that are gone are left out.
    """
    topics = await log.topics()
    committed = {
        partition: offset
        for partition, offset in group.committed.items()
        if partition.topic in topics
    }
    lags = await partition_lags(log, {group.name: committed}, counted_offsets=0)
    return [lag for lag in lags if lag.start != lag.committed]
