"""Commands: requests to change a legacy system, each of which ends in exactly one receipt."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Real
from typing import Any

from bridge.model.canonical import canonical_json, sha256_hex
from bridge.model.error_text import clean_text, error_message, value_text
from bridge.model.errors import Rejected


@dataclass(frozen=True, slots=True)
class Command:
    """What an agent returns: `name` is `system.command`, `key` the entity's key.

    `key` is a mapping of key fields to values, or the bare value for a key of one field.
    `expect`: the version that the row must still have (None: don't compare).
    `idempotency_key` defaults to agent, handler, event id and ordinal. `deadline` has a time zone.
    A command that can't be encoded is a failure of its handler (`Rejected`, `bad_value`).
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
    """A command in the log; same fields as `schemas/command.avsc`."""

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
    """The record of `command` with its id and digest; `key`: the complete key, by field.

    Raises Rejected (`bad_value`), and nothing else, for values that can't be encoded: a field of
    the wrong type, a text that isn't Unicode, a deadline without a zone, an argument without a JSON
    form.
    """
    try:
        return _sealed(
            command,
            key,
            agent=agent,
            requested_at=requested_at,
            idempotency_key=idempotency_key,
            agent_version=agent_version,
            handler=handler,
            caused_by=caused_by,
        )
    except Rejected:
        raise
    except Exception as error:
        name = value_text(command.name, 200)
        raise Rejected("bad_value", f"{name}: {error_message(error)}") from error


def _sealed(
    command: Command,
    key: Mapping[str, Any],
    *,
    agent: str,
    requested_at: datetime,
    idempotency_key: str,
    agent_version: str | None,
    handler: str | None,
    caused_by: str | None,
) -> CommandRecord:
    name = _text(command, "name", command.name)
    key_text = canonical_json(dict(key))
    args_text = canonical_json(_args(command))
    return CommandRecord(
        id=command_id(agent, _text(command, "idempotency_key", idempotency_key)),
        idempotency_key=idempotency_key,
        name=name,
        key=key_text,
        args=args_text,
        digest=sha256_hex(name, dict(key), dict(command.args), command.expect),
        expect=_optional_text(command, "expect", command.expect),
        agent=agent,
        agent_version=_optional_text(command, "agent_version", agent_version),
        handler=_optional_text(command, "handler", handler),
        caused_by=_optional_text(command, "caused_by", caused_by),
        reason=_optional_text(command, "reason", command.reason),
        confidence=_confidence(command),
        deadline=_deadline(command),
        requested_at=requested_at,
    )


def _unfit(command: Command, field: str, expected: str, value: object) -> Rejected:
    return Rejected(
        "bad_value",
        f"{value_text(command.name, 200)}: {field} is {expected}, not "
        f"{type(value).__name__} {clean_text(repr(value), 60)}",
    )


def _text(command: Command, field: str, value: object) -> str:
    if not isinstance(value, str):
        raise _unfit(command, field, "text", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _unfit(command, field, "text without lone surrogates", value) from None
    return value


def _optional_text(command: Command, field: str, value: object) -> str | None:
    return None if value is None else _text(command, field, value)


def _args(command: Command) -> dict[str, Any]:
    if not isinstance(command.args, Mapping):
        raise _unfit(command, "args", "a mapping of names to values", command.args)
    return dict(command.args)


def _confidence(command: Command) -> float | None:
    value: object = command.confidence
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise _unfit(command, "confidence", "a number", value)
    number = float(value)
    if not math.isfinite(number):
        raise _unfit(command, "confidence", "a finite number", value)
    return number


def _deadline(command: Command) -> datetime | None:
    value: object = command.deadline
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise _unfit(command, "deadline", "a datetime with a time zone", value)
    if value.utcoffset() is None:
        raise _unfit(
            command,
            "deadline",
            "a datetime with a time zone, such as datetime.now(UTC) + timedelta(minutes=5)",
            value,
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise _unfit(command, "deadline", "in the years 1 to 9999 of UTC", value) from None
