"""Decides what to do with a command. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.commands.codes import INCONSISTENT_CODES, KEY_REUSED, UNDECIDABLE, only_claims_id
from bridge.commands.decision.arguments import check_args, find_command
from bridge.commands.decision.expectation import ExpectGuard
from bridge.commands.decision.record_checks import check_log_key, check_target, parse_record
from bridge.connector import Effect, Shape
from bridge.model.command import CommandRecord
from bridge.model.error_text import describe_error
from bridge.model.errors import UNAVAILABLE, Rejected
from bridge.model.receipt import Outcome
from bridge.model.specs import CommandSpec, Tier
from bridge.model.system_records import Target
from bridge.ports.entity_mapping import EntityMapping


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute it now."""

    spec: CommandSpec
    table: EntityMapping
    effect: Effect


@dataclass(frozen=True, slots=True)
class Await:
    """It is valid, but waits for a person; `message` says why."""

    spec: CommandSpec
    message: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Refuse:
    """It ends here without an effect on the legacy system.

    effect: what it would have done, if only its deadline has passed.
    """

    outcome: Outcome
    code: str
    message: str
    effect: Effect | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """It waits until a person has provided what is missing; `message` says what."""

    message: str
    effect: Effect | None = None


Decision = Execute | Await | Refuse | Hold

_APPROVAL_MESSAGES = {
    Tier.IN_THE_LOOP: (
        "the command is in the loop: a person has to approve it, and this version has no approvals "
        "yet; with `tier: outside_the_loop` it would run"
    ),
    Tier.ON_THE_LOOP: (
        "the command is on the loop: it runs after its veto window, which this version does not "
        "support yet, so a person has to approve it"
    ),
}


def decide(
    record: CommandRecord,
    target: Target,
    commands: Mapping[str, CommandSpec],
    tables: Mapping[str, EntityMapping],
    now: datetime,
) -> Decision:
    """Check identity, deadline, declaration, key and arguments, and apply the tier.

    commands: by `system.command`; tables: by bare entity name; both of one system.
    """
    decision = _decide_without_deadline(record, target, commands, tables)
    if record.deadline is None or now <= record.deadline or _is_inconsistent(decision):
        return decision
    message = f"{record.name} had to be started by {record.deadline.isoformat()}"
    return Refuse(Outcome.EXPIRED, "deadline", message, decision.effect)


def refuse_reused_key(command: CommandRecord, decision: Decision) -> Decision:
    """The decision about a record whose id was already used for different content."""
    if isinstance(decision, Refuse) and only_claims_id(decision.code):
        return decision
    return Refuse(
        Outcome.REJECTED,
        KEY_REUSED,
        f"command {command.id!r} was sent before with different content",
    )


def _is_inconsistent(decision: Decision) -> bool:
    return isinstance(decision, Refuse) and decision.code in INCONSISTENT_CODES


def _decide_without_deadline(
    record: CommandRecord,
    target: Target,
    commands: Mapping[str, CommandSpec],
    tables: Mapping[str, EntityMapping],
) -> Decision:
    """The decision, regardless of the deadline."""
    try:
        key, args = parse_record(record)
        check_log_key(record, target, key)
        spec = find_command(commands, record.name)
        check_target(spec, target)
        table = tables[spec.entity]
        values = check_args(spec, args)
        guard = ExpectGuard(spec, table, record.expect) if record.expect is not None else None
        effect = _make_effect(spec, table, record, key=key, values=values, guard=guard)
    except Rejected as rejected:
        if rejected.code == UNAVAILABLE:
            return Hold(str(rejected))
        return Refuse(Outcome.REJECTED, rejected.code, str(rejected))
    except Exception as error:  # noqa: BLE001 - whatever it holds ends this command alone
        reason = f"{record.name} can't be decided: {describe_error(error)}"
        return Refuse(Outcome.REJECTED, UNDECIDABLE, reason)
    message = _APPROVAL_MESSAGES.get(spec.tier)
    return Execute(spec, table, effect) if message is None else Await(spec, message, effect)


def _make_effect(
    spec: CommandSpec,
    table: EntityMapping,
    record: CommandRecord,
    *,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    guard: Callable[[Shape | None, Any], None] | None,
) -> Effect:
    """The effect of a checked command: its statement and its parameters.

    `:key` (or `:key_FIELD`) is the key in the source's own form; `:id` is the command's id, by
    which a probe can find what the command created. Raises Rejected (`bad_key`).
    """
    key_fields = table.entity.key
    if set(key) != set(key_fields):
        raise Rejected(
            "bad_key",
            f"{spec.qualified}: the key of {table.entity.qualified} has the fields "
            f"{', '.join(key_fields)}, not {', '.join(key) or 'none'}",
        )
    for name, value in key.items():
        if value is None or isinstance(value, (list, dict)):
            raise Rejected(
                "bad_key", f"{spec.qualified}: key field {name!r} is {value!r:.60}, not one value"
            )
    parameters = {"id": record.id, **values}
    columns: dict[str, Any] = {}
    for name in key_fields:
        source_values = table.outward((name,), (key[name],))
        columns.update(zip(table.columns((name,)), source_values, strict=True))
        if len(source_values) == 1:
            parameters[f"key_{name}"] = source_values[0]
            if len(key_fields) == 1:
                parameters["key"] = source_values[0]
    return Effect(
        command_id=record.id,
        digest=record.digest,
        statement=spec.run,
        parameters=parameters,
        table=table.spec.table,
        key=columns,
        guard=guard,
        many=spec.many,
        probe=spec.probe,
        types={arg.name: arg.type for arg in spec.args},
    )
