"""The declared commands, as agents need to know them."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.agent.contract import CommandTarget
from bridge.commands.declare import find_command
from bridge.model.declare import CommandSpec
from bridge.plan.table import EntityTable


class DeclaredCommands:
    """`bridge.agent.contract.Commands` over the configuration and, by system, its entities."""

    def __init__(
        self,
        commands: Mapping[str, CommandSpec],
        tables: Mapping[str, Mapping[str, EntityTable]],
    ) -> None:
        self._commands = commands
        self._tables = tables

    def target(self, name: str) -> CommandTarget:
        """Raises Rejected: `unknown_command`, which says what there is; `unavailable`."""
        spec = find_command(self._commands, name)
        entity = self._tables[spec.system][spec.entity].entity
        return CommandTarget(spec.system, spec.entity, entity.key, spec.guards)
