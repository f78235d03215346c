"""Turns what a handler returned into sealed commands for the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.agent.contract import CommandTarget, CommandTargets
from bridge.agent.declaration import AgentDeclaration, EventHandler
from bridge.model.command import Command, CommandRecord, default_idempotency_key, seal
from bridge.model.error_text import describe_error
from bridge.model.errors import BridgeError, Rejected
from bridge.model.event import Event, RowVersion
from bridge.model.system_records import Target, target


@dataclass(frozen=True, slots=True)
class SealedCommand:
    """One sealed command: its log key, its record, and the command as the handler returned it."""

    target: Target
    record: CommandRecord
    command: Command


async def collect_commands(returned: Any) -> list[Command]:
    """The commands in what a handler returned: None, a Command, several, or a generator of them.

    Raises Rejected (`bad_answer`) for anything else.
    """
    if returned is None:
        return []
    if isinstance(returned, Command):
        return [returned]
    if hasattr(returned, "__aiter__"):
        items: list[Any] = [item async for item in returned]
    elif isinstance(returned, Iterable) and not isinstance(returned, (str, bytes, Mapping)):
        items = list(returned)
    else:
        items = [returned]
    for item in items:
        if not isinstance(item, Command):
            raise Rejected(
                "bad_answer",
                f"a handler returns None, a Command or several Commands, not {type(item).__name__}",
            )
    return items


def complete_key(command: Command, declared: CommandTarget) -> dict[str, Any]:
    """The command's key with all its fields. Raises Rejected (`bad_key`)."""
    key = command.key
    if not declared.key:
        return dict(key) if isinstance(key, Mapping) else {"key": key}
    if not isinstance(key, Mapping):
        if len(declared.key) != 1:
            raise Rejected(
                "bad_key",
                f"{command.name}: the key of {declared.system}.{declared.entity} has the fields "
                f"{', '.join(declared.key)}; give all of them by name",
            )
        return {declared.key[0]: key}
    if set(key) != set(declared.key):
        raise Rejected(
            "bad_key",
            f"{command.name}: the key has the fields {', '.join(map(str, key)) or 'none'}; "
            f"{declared.system}.{declared.entity} has {', '.join(declared.key)}",
        )
    return {name: key[name] for name in declared.key}


def seal_command(
    command: Command,
    *,
    agent: AgentDeclaration,
    handler: EventHandler,
    event: Event,
    ordinal: int,
    commands: CommandTargets,
    now: datetime,
) -> SealedCommand:
    """Seal the `ordinal`th command that `handler` returned for `event`.

    Without an idempotency key of its own, the id is derived from agent, handler, event and ordinal,
    so that handling the event again gives the same id. Raises Rejected (`unknown_command`,
    `bad_key`, `bad_value`) and RetryLater as `commands` does, and nothing else, whatever the
    handler put into the command.
    """
    try:
        return _sealed(
            command,
            agent=agent,
            handler=handler,
            event=event,
            ordinal=ordinal,
            commands=commands,
            now=now,
        )
    except BridgeError:
        raise
    except Exception as error:
        raise Rejected(
            "bad_value", f"a command of {handler.name}: {describe_error(error)}"
        ) from error


def _sealed(
    command: Command,
    *,
    agent: AgentDeclaration,
    handler: EventHandler,
    event: Event,
    ordinal: int,
    commands: CommandTargets,
    now: datetime,
) -> SealedCommand:
    if not isinstance(command.name, str):
        raise Rejected("bad_value", f"a command's name is text, not {type(command.name).__name__}")
    declared = commands.target(command.name)
    key = complete_key(command, declared)
    if isinstance(command.expect, RowVersion) and declared.guards:
        command = replace(command, expect=command.expect.guarded(declared.guards))
    elif command.expect is not None:
        command = replace(command, expect=str(command.expect))
    record = seal(
        command,
        key,
        agent=agent.name,
        agent_version=agent.version,
        handler=handler.name,
        caused_by=event.id,
        requested_at=now,
        idempotency_key=command.idempotency_key
        or default_idempotency_key(agent.name, handler.name, event.id, ordinal),
    )
    return SealedCommand(target(declared.system, declared.entity, key), record, command)
