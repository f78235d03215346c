"""The declared commands, as agents need to know them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.agent.contract import CommandTarget
from bridge.commands.decision.arguments import find_command
from bridge.model.errors import UNAVAILABLE, Rejected, RetryLater
from bridge.model.specs import CommandSpec
from bridge.plan.entity_table import EntityTable


class DeclaredCommands:
    """`bridge.agent.contract.CommandTargets` over the configuration and, by system, its entities."""

    def __init__(
        self,
        commands: Mapping[str, CommandSpec],
        tables: Mapping[str, Mapping[str, EntityTable]],
        away: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._commands = commands
        self._tables = tables
        self._away = away

    def target(self, name: str) -> CommandTarget:
        """Raises Rejected (`unknown_command`), which says what there is. RetryLater while the system
        of the command isn't open (`away`: why), and while its entity doesn't fit its table.
        """
        spec = find_command(self._commands, name)
        if (why := self._away.get(spec.system)) is not None:
            raise RetryLater(f"system {spec.system!r} isn't there for {name}: {why}")
        try:
            entity = self._tables[spec.system][spec.entity].entity
        except Rejected as error:
            if error.code != UNAVAILABLE:
                raise
            # As the executor waits with such commands: nothing is wrong with the event.
            raise RetryLater(f"{name} can't be asked for yet: {error}") from error
        return CommandTarget(spec.system, spec.entity, entity.key, spec.guards)
