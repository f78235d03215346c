"""Whether a consumer group is one of this configuration, and whether anybody still reads with it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from bridge.log.port import GroupInfo

if TYPE_CHECKING:
    from bridge.wiring import Bridge

ACTIVE: Final = "active"
"""It has live members."""
STOPPED: Final = "stopped"
"""One of this configuration, and none of its members runs."""
RETIRED: Final = "retired"
"""Its agent or its system's commands are no longer in the configuration."""
UNKNOWN: Final = "unknown"
"""An agents' file can't be read, so it is unknown whether the agent is still in it."""
UNFINISHED: Final = "unfinished"
"""A replay that is under way, or was interrupted."""
FINISHED: Final = "finished"
"""A replay that has come to its end."""
FOREIGN: Final = "foreign"
"""None of this bridge's own."""
NOT_READING: Final = frozenset({RETIRED, UNFINISHED, FINISHED})
"""States in which a group no longer reads its topics, so it has no lag."""


def group_state(
    bridge: str,
    info: GroupInfo,
    agents: Collection[str] | None,
    executed: Collection[str],
    finished: Collection[str],
) -> str:
    """`agents` names of those in the configuration (None: not known), `executed` of the systems with
    commands, `finished` groups of replays. Pure.
    """
    from bridge.agent.group import agent_group
    from bridge.commands.group import executor_group
    from bridge.replay.notes import replay_group

    if info.members:
        return ACTIVE
    if info.name.startswith(replay_group(bridge, "")):
        return FINISHED if info.name in finished else UNFINISHED
    if info.name.startswith(agent_group(bridge, "")):
        if agents is None:
            return UNKNOWN
        return STOPPED if info.name in {agent_group(bridge, name) for name in agents} else RETIRED
    if info.name.startswith(executor_group(bridge, "")):
        groups = {executor_group(bridge, name) for name in executed}
        return STOPPED if info.name in groups else RETIRED
    return FOREIGN


async def group_states(bridge: Bridge, infos: Mapping[str, GroupInfo]) -> dict[str, str]:
    """The state of each group. Agents' files are read only where a group could be one of theirs."""
    from bridge.replay import finished_replays

    executed = [name for name, config in bridge.systems.items() if config.spec.commands]

    def states(agents: Collection[str] | None, finished: Collection[str]) -> dict[str, str]:
        return {
            name: group_state(bridge.name, info, agents, executed, finished)
            for name, info in infos.items()
        }

    states_by_group = states(None, ())
    agents = _configured_agents(bridge) if UNKNOWN in states_by_group.values() else None
    replays = UNFINISHED in states_by_group.values()
    finished = await finished_replays(bridge.log, bridge.name) if replays else frozenset[str]()
    return states(agents, finished)


def _configured_agents(bridge: Bridge) -> list[str] | None:
    """Names of the agents in the configuration; None where a file of theirs can't be read."""
    from bridge.wiring.agents import read_agents

    # What they print has no place among the rows.
    with contextlib.redirect_stdout(sys.stderr):
        agents, problems = read_agents(bridge.config.agents)
    return None if problems else [agent.name for agent in agents]
