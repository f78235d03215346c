"""What is to be done about a command: pure, so tested without a log or a system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.commands.decision.arguments import check_args, find_command, make_effect
from bridge.commands.decision.expectation import ExpectGuard
from bridge.connector import Effect
from bridge.model.agent_name import requester_problem
from bridge.model.canonical import canonical_json, parse_canonical, sha256_hex
from bridge.model.command import CommandRecord, command_id
from bridge.model.error_text import describe_error
from bridge.model.errors import UNAVAILABLE, Rejected
from bridge.model.receipt import Outcome
from bridge.model.specs import CommandSpec, Tier
from bridge.model.system_records import Target
from bridge.ports.entity_mapping import EntityMapping


@dataclass(frozen=True, slots=True)
class Execute:
    """Carry it out now."""

    spec: CommandSpec
    table: EntityMapping
    effect: Effect


@dataclass(frozen=True, slots=True)
class Await:
    """It is valid, and waits for a person; `message` says for what."""

    spec: CommandSpec
    message: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Refuse:
    """It ends here, without having touched the legacy system. `effect` is what it would have been,
    where only its time is over.
    """

    outcome: Outcome
    code: str
    message: str
    effect: Effect | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """It waits until a person has given it what it lacks; `message` says what."""

    message: str
    effect: Effect | None = None


Decision = Execute | Await | Refuse | Hold

MAX_KEY_CHARACTERS, MAX_ID_CHARACTERS = 64_000, 1_000
"""Over these neither intent nor receipt may fit a record of the log, which would hold all commands up."""
UNDECIDABLE = "undecidable"
"""Code of a command that holds what nobody thought of: it was not carried out."""

UNREADABLE = frozenset({"bad_id", "bad_digest", "bad_command", "bad_agent", "bad_target"})
"""Codes of records that don't hold together: their id may be another command's. Neither the log key
nor who asks is part of the digest, so a copy with others must not end the command it was made of.
"""

WAITS = {
    Tier.IN_THE_LOOP: (
        "the command is in the loop: a person has to approve it, and this version has no approvals "
        "yet; with `tier: outside_the_loop` it would run"
    ),
    Tier.ON_THE_LOOP: (
        "the command is on the loop: it runs after its veto window, which this version does not "
        "keep yet, so a person has to approve it"
    ),
}


def decide(
    record: CommandRecord,
    target: Target,
    commands: Mapping[str, CommandSpec],
    tables: Mapping[str, EntityMapping],
    now: datetime,
) -> Decision:
    """Check identity, deadline, declaration, key and arguments, and follow the tier.

    `commands` by `system.command`, `tables` by bare entity name, both of one system.
    """
    decision = _undated(record, target, commands, tables)
    if record.deadline is None or now <= record.deadline or _unreadable(decision):
        return decision
    message = f"{record.name} was to be started by {record.deadline.isoformat()}"
    return Refuse(Outcome.EXPIRED, "deadline", message, decision.effect)


def _unreadable(decision: Decision) -> bool:
    return isinstance(decision, Refuse) and decision.code in UNREADABLE


def _undated(
    record: CommandRecord,
    target: Target,
    commands: Mapping[str, CommandSpec],
    tables: Mapping[str, EntityMapping],
) -> Decision:
    """What is to be done whatever its deadline is."""
    try:
        key, args = _contents(record)
        _check_log_key(record, target, key)
        spec = find_command(commands, record.name)
        _check_target(spec, target)
        table = tables[spec.entity]
        values = check_args(spec, args)
        guard = ExpectGuard(spec, table, record.expect) if record.expect is not None else None
        effect = make_effect(spec, table, record, key=key, values=values, guard=guard)
    except Rejected as rejected:
        if rejected.code == UNAVAILABLE:
            return Hold(str(rejected))
        return Refuse(Outcome.REJECTED, rejected.code, str(rejected))
    except Exception as error:  # noqa: BLE001 - whatever it holds ends this command alone
        reason = f"{record.name} can't be decided: {describe_error(error)}"
        return Refuse(Outcome.REJECTED, UNDECIDABLE, reason)
    waiting = WAITS.get(spec.tier)
    return Execute(spec, table, effect) if waiting is None else Await(spec, waiting, effect)


def _check_log_key(record: CommandRecord, target: Target, key: Mapping[str, Any]) -> None:
    """The log orders commands, and names them in receipts, by the record's key: it has to be that
    of the row on which the command is carried out.
    """
    if len(target.key) > MAX_KEY_CHARACTERS:
        raise Rejected("bad_target", f"a key of {len(target.key)} characters is none of a row")
    system = record.name.partition(".")[0]
    if system != target.system:
        raise Rejected(
            "bad_target",
            f"{record.name} is a command of system {system!r}, but was sent for {target.system!r}",
        )
    if target.key != canonical_json(dict(key)):
        raise Rejected(
            "bad_target",
            f"{record.name} is about {record.key:.200}, but its record was sent under the key "
            f"{target.key:.200}: send it under the key of its row, as canonical JSON",
        )


def _check_target(spec: CommandSpec, target: Target) -> None:
    if spec.entity != target.entity:
        raise Rejected(
            "bad_target",
            f"{spec.qualified} is about {spec.entity}, but was sent for {target.entity}",
        )


def _contents(record: CommandRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        key, args = parse_canonical(record.key), parse_canonical(record.args)
    except Exception as error:
        raise Rejected("bad_command", f"{record.name}: key or args are not JSON") from error
    if not isinstance(key, dict) or not isinstance(args, dict):
        raise Rejected("bad_command", f"{record.name}: key and args are JSON objects")
    if len(record.key) > MAX_KEY_CHARACTERS:
        raise Rejected("bad_command", f"a key of {len(record.key)} characters is none of a row")
    if len(record.id) > MAX_ID_CHARACTERS:
        raise Rejected("bad_id", f"an id of {len(record.id)} characters is none of a command")
    if record.id != command_id(record.agent, record.idempotency_key):
        raise Rejected(
            "bad_id", f"{record.name}: the id does not follow from agent and idempotency key"
        )
    if problem := requester_problem(record):
        raise Rejected("bad_agent", f"{record.name}: agent {record.agent[:80]!r} {problem}")
    if record.digest != _digest(record, key, args):
        raise Rejected(
            "bad_digest", f"{record.name}: the digest is not that of name, key, args and expect"
        )
    return key, args


def _digest(record: CommandRecord, key: Mapping[str, Any], args: Mapping[str, Any]) -> str:
    try:
        return sha256_hex(record.name, key, args, record.expect)
    except Exception as error:
        # Halves of surrogate pairs, or nested without end: no digest could be made of that.
        raise Rejected("bad_command", f"{record.name}: key or args have no digest") from error
