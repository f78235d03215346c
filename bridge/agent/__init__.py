"""Agents: the SDK, its runner, its test bench."""

from bridge.agent.agent import Agent
from bridge.agent.context import Context
from bridge.agent.errors import NotFound
from bridge.model.provenance import provenance

__all__ = ["Agent", "Context", "NotFound", "provenance"]
