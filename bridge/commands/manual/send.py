"""A command from a person: sealed and appended as every command is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.log.port import Log
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.agent_name import OPERATOR_HANDLER, person_agent
from bridge.model.command import Command, CommandRecord, seal
from bridge.model.specs import CommandSpec
from bridge.model.system_records import target

_NEW_KEY_PREFIX = f"{OPERATOR_HANDLER}/"


def seal_for_person(
    command: Command,
    key: Mapping[str, Any],
    *,
    by: str,
    at: datetime,
    idempotency_key: str | None = None,
) -> CommandRecord:
    """The record of a person's command about the row with this key.

    by: the person's name
    idempotency_key: the same key again is the same command; None: a new one
    """
    return seal(
        command,
        key,
        agent=person_agent(by),
        requested_at=at,
        idempotency_key=idempotency_key or f"{_NEW_KEY_PREFIX}{uuid.uuid4()}",
        handler=OPERATOR_HANDLER,
    )


def may_be_repeated(record: CommandRecord) -> bool:
    """Whether its sender chose its key, so that the command may have been answered before."""
    return not record.idempotency_key.startswith(_NEW_KEY_PREFIX)


async def send_command(
    log: Log,
    codec: SystemTopicCodec,
    spec: CommandSpec,
    key: Mapping[str, Any],
    record: CommandRecord,
) -> None:
    """Append the command; the topic is created where it is missing. Raises what the log raises."""
    await log.create_topics([codec.spec("command")])
    entry = codec.entry("command", target(spec.system, spec.entity, key), record)
    await log.append(codec.topic("command"), [entry])
