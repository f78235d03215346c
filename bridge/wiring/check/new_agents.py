"""Agents that have no offsets yet: how many old events they will handle."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from bridge.agent import Agent
from bridge.agent.first_start import start_text, unread_topics
from bridge.agent.group import agent_group
from bridge.config import Config
from bridge.model.errors import BridgeError
from bridge.model.names import change_topic, split_entity
from bridge.wiring.check.result import CheckResult
from bridge.wiring.event_log import make_log


async def new_agent_findings(
    config: Config, agents: Sequence[Agent]
) -> AsyncGenerator[CheckResult, None]:
    """Reads the log where it can be opened; otherwise `log_findings` has said why it can't."""
    if not agents or (config.log.path is not None and not config.log.path.exists()):
        return
    try:
        log = make_log(config)
    except BridgeError:
        return
    try:
        await log.open()
        for agent in agents:
            group = agent_group(config.bridge, agent.name)
            topics = [change_topic(config.bridge, *split_entity(each)) for each in agent.entities]
            for unread in await unread_topics(log, group, topics):
                text = start_text(agent.name, group, unread, agent.start)
                yield CheckResult("ok", "agents", text, f"agent {agent.name}")
    except BridgeError as error:
        yield CheckResult("error", "log", str(error), f"log {log.name}")
    finally:
        await log.close()
