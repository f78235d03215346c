"""Commands: requests to change a legacy system, each of which ends in exactly one receipt."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.model.canonical import canonical_json, sha256_hex


@dataclass(frozen=True, slots=True)
class Command:
    """What an agent returns: `name` is `system.command`, `key` the entity's key.

    `key` is a mapping of key fields to values, or the bare value for a key of one field.
    `expect` is the version that the row must still have (None: don't compare).
    `idempotency_key` defaults to agent, handler, event id and ordinal.
    """

    name: str
    key: Any
    args: Mapping[str, Any] = field(default_factory=dict)
    expect: str | None = None
    idempotency_key: str | None = None
    reason: str | None = None
    confidence: float | None = None
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command as it stands in the log; field by field `schemas/command.avsc`."""

    id: str
    idempotency_key: str
    name: str
    key: str
    args: str
    digest: str
    expect: str | None
    agent: str
    agent_version: str | None
    handler: str | None
    caused_by: str | None
    reason: str | None
    confidence: float | None
    deadline: datetime | None
    requested_at: datetime


def command_id(agent: str, idempotency_key: str) -> str:
    """`{agent}:` and 26 base32 characters (130 bits) of SHA-256 of the idempotency key."""
    digest = hashlib.sha256(idempotency_key.encode()).digest()
    return f"{agent}:{base64.b32encode(digest).decode('ascii')[:26].lower()}"


def default_idempotency_key(agent: str, handler: str, event_id: str, ordinal: int) -> str:
    """The key of the `ordinal`th command that a handler returned for an event."""
    return f"{agent}/{handler}/{event_id}/{ordinal}"


def seal(
    command: Command,
    key: Mapping[str, Any],
    *,
    agent: str,
    requested_at: datetime,
    idempotency_key: str,
    agent_version: str | None = None,
    handler: str | None = None,
    caused_by: str | None = None,
) -> CommandRecord:
    """The record of `command` with its id and digest; `key` in full, field by field.

    Raises TypeError when a key or an argument has no canonical JSON form.
    """
    key_text, args_text = canonical_json(dict(key)), canonical_json(dict(command.args))
    return CommandRecord(
        id=command_id(agent, idempotency_key),
        idempotency_key=idempotency_key,
        name=command.name,
        key=key_text,
        args=args_text,
        digest=sha256_hex(command.name, dict(key), dict(command.args), command.expect),
        expect=command.expect,
        agent=agent,
        agent_version=agent_version,
        handler=handler,
        caused_by=caused_by,
        reason=command.reason,
        confidence=command.confidence,
        deadline=command.deadline,
        requested_at=requested_at,
    )
