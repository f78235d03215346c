"""The consumer groups that a configuration declares, whether or not they have ever run."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.agent import Agent
from bridge.agent.group import agent_group
from bridge.commands.group import executor_group
from bridge.config import Config
from bridge.model.names import change_topic, split_entity, system_topic


def declared_groups(config: Config, agents: Iterable[Agent]) -> dict[str, frozenset[str]]:
    """The topics that each group reads: of agents the changes, of executors the commands."""
    groups = {
        agent_group(config.bridge, agent.name): frozenset(
            change_topic(config.bridge, *split_entity(entity)) for entity in agent.entities
        )
        for agent in agents
    }
    commands = frozenset({system_topic(config.bridge, "commands")})
    for system in config.systems:
        if system.spec.commands:
            groups[executor_group(config.bridge, system.spec.name)] = commands
    return groups
