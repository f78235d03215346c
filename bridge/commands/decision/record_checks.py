"""Checks that a command record is consistent, and matches the log key it was sent with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.agent_name import requester_problem
from bridge.model.canonical import canonical_json, parse_canonical, sha256_hex
from bridge.model.command import CommandRecord, command_id
from bridge.model.errors import Rejected
from bridge.model.specs import CommandSpec
from bridge.model.system_records import Target

MAX_KEY_CHARACTERS, MAX_ID_CHARACTERS = 64_000, 1_000
"""Above these, an intent or receipt might exceed the log's record size, which would block all
commands.
"""


def check_log_key(record: CommandRecord, target: Target, key: Mapping[str, Any]) -> None:
    """Check that the record's log key is that of the row on which the command is executed: commands
    are ordered by it, and receipts name it. Raises Rejected (`bad_target`).
    """
    if len(target.key) > MAX_KEY_CHARACTERS:
        raise Rejected(
            "bad_target", f"a key of {len(target.key)} characters is too long to be a row's key"
        )
    system = record.name.partition(".")[0]
    if system != target.system:
        raise Rejected(
            "bad_target",
            f"{record.name} is a command of system {system!r}, but was sent to {target.system!r}",
        )
    if target.key != canonical_json(dict(key)):
        raise Rejected(
            "bad_target",
            f"{record.name} is about {record.key:.200}, but its record was sent with the log key "
            f"{target.key:.200}: use the key of its row, as canonical JSON",
        )


def check_target(spec: CommandSpec, target: Target) -> None:
    """Raises Rejected (`bad_target`) if the command was sent for a different entity than it is
    declared for.
    """
    if spec.entity != target.entity:
        raise Rejected(
            "bad_target",
            f"{spec.qualified} is about {spec.entity}, but was sent for {target.entity}",
        )


def parse_record(record: CommandRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Key and arguments of a record. Raises Rejected with one of `INCONSISTENT_CODES`."""
    try:
        key, args = parse_canonical(record.key), parse_canonical(record.args)
    except Exception as error:
        raise Rejected("bad_command", f"{record.name}: key or args are not JSON") from error
    if not isinstance(key, dict) or not isinstance(args, dict):
        raise Rejected("bad_command", f"{record.name}: key and args must be JSON objects")
    if len(record.key) > MAX_KEY_CHARACTERS:
        raise Rejected(
            "bad_command", f"a key of {len(record.key)} characters is too long to be a row's key"
        )
    if len(record.id) > MAX_ID_CHARACTERS:
        raise Rejected(
            "bad_id", f"an id of {len(record.id)} characters is too long to be a command's id"
        )
    if record.id != command_id(record.agent, record.idempotency_key):
        raise Rejected(
            "bad_id", f"{record.name}: the id is not the one derived from agent and idempotency key"
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
        # Lone surrogates or excessive nesting: no digest can be computed.
        raise Rejected("bad_command", f"{record.name}: key or args can't be digested") from error
