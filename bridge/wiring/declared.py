"""The declared commands, as agents need to know them."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.agent.contract import CommandTarget
from bridge.commands.declare import find_command
from bridge.model.declare import CommandSpec
from bridge.model.types import Entity


class DeclaredCommands:
    """`bridge.agent.contract.Commands` over the configuration and the entities' types."""

    def __init__(self, commands: Mapping[str, CommandSpec], entities: Mapping[str, Entity]) -> None:
        self._commands = commands
        self._entities = entities

    def target(self, name: str) -> CommandTarget:
        """Raises Rejected (`unknown_command`) that says what there is."""
        spec = find_command(self._commands, name)
        entity = self._entities[f"{spec.system}.{spec.entity}"]
        return CommandTarget(spec.system, spec.entity, entity.key, spec.guards)
