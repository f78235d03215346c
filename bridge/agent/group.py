"""An agent's consumer group, and the topics that it reads."""

from __future__ import annotations

from bridge.agent.declaration import AgentDeclaration
from bridge.model.names import change_topic, replay_topic, split_entity


def agent_group(bridge: str, agent: str) -> str:
    """The consumer group of an agent."""
    return f"{bridge}.agent.{agent}"


def agent_topics(bridge: str, agent: AgentDeclaration) -> list[str]:
    """The topics that an agent reads: its entities' change topics, and its replay topic."""
    entities = [change_topic(bridge, *split_entity(entity)) for entity in agent.entities]
    return [*entities, replay_topic(bridge, agent.name)]
