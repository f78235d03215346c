"""The version that each command compares, of a row that was read. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.model.provenance import provenance, version
from bridge.model.specs import CommandSpec


def guarded_versions(commands: Iterable[CommandSpec], row: Any) -> dict[str, str]:
    """What `expect` has to be, by the name (`system.command`) of each command on the row's entity."""
    entity = provenance(row).entity
    return {
        command.qualified: version(row).guarded(command.guards)
        for command in commands
        if f"{command.system}.{command.entity}" == entity
    }
