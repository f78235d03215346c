"""What one process runs: systems, entities, agents and groups by name, known before anything is open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from bridge.agent import Agent
from bridge.agent.group import agent_group, agent_topics
from bridge.commands.group import executor_group
from bridge.config import Config
from bridge.model.names import COMMANDS, system_topic
from bridge.wiring.connectors import load_connector


@dataclass(frozen=True, slots=True)
class RunScope:
    """`captured`, `executed`, `owned` and `read` are systems: whose changes are captured, whose commands
    are executed, whose reads are owned, and which agents read. `copied`: those of which reads may be
    answered by a copy. `entities` are the qualified names of all systems' entities.
    """

    bridge: str
    captured: tuple[str, ...]
    executed: tuple[str, ...]
    read: tuple[str, ...]
    agents: tuple[Agent, ...]
    entities: dict[str, tuple[str, ...]]
    copied: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """Kind and name of each part that has to run for this process to be of use."""
        return (
            *(("capture", name) for name in self.captured),
            *(("gateway", name) for name in self.owned),
            *(("agent", agent.name) for agent in self.agents),
            *(("commands", name) for name in self.executed),
        )

    @property
    def members(self) -> dict[str, tuple[str, str]]:
        """The part that is a member of each consumer group of this process."""
        members = {
            agent_group(self.bridge, agent.name): ("agent", agent.name) for agent in self.agents
        }
        for name in self.executed:
            members[executor_group(self.bridge, name)] = ("commands", name)
        return members

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The topics that each consumer group of this process reads."""
        groups = {
            agent_group(self.bridge, agent.name): tuple(agent_topics(self.bridge, agent))
            for agent in self.agents
        }
        for name in self.executed:
            groups[executor_group(self.bridge, name)] = (system_topic(self.bridge, COMMANDS),)
        return groups

    def entities_of(self, systems: Iterable[str]) -> list[str]:
        """The qualified names of all entities of these systems."""
        return [entity for name in systems for entity in self.entities[name]]


def run_scope(config: Config, agents: Sequence[Agent], kinds: Collection[str]) -> RunScope:
    """The scope of a process that runs these kinds of parts. Raises ConfigurationError for an
    unknown connector.
    """
    capabilities = {
        system.spec.name: load_connector(system).capabilities() for system in config.systems
    }
    return RunScope(
        bridge=config.bridge,
        captured=tuple(
            name for name, can in capabilities.items() if can.capture and "capture" in kinds
        ),
        executed=tuple(
            system.spec.name
            for system in config.systems
            if system.spec.commands and "commands" in kinds
        ),
        read=tuple(capabilities) if agents else (),
        agents=tuple(agents),
        entities={
            system.spec.name: tuple(entity.qualified for entity in system.spec.entities)
            for system in config.systems
        },
        copied=tuple(
            system.spec.name
            for system in config.systems
            if capabilities[system.spec.name].capture and system.spec.cache_bytes and agents
        ),
        owned=tuple(
            system.spec.name
            for system in config.systems
            if system.gateway is not None and "gateway" in kinds
        ),
    )
