"""The codes of receipts, and what they mean for readers of receipts. Pure."""

from __future__ import annotations

from bridge.model import headers
from bridge.model.error_text import clean_text
from bridge.model.receipt import Outcome, Receipt

IN_PROGRESS = "in_progress"
"""A command for a system without a ledger is about to be executed."""
NOT_STARTED = "not_started"
"""The intent of such a command is withdrawn: it has had no effect."""
UNKNOWN = "unknown"
"""Only a person can find out whether the command has taken effect."""
RECONCILED = "reconciled"
"""The system was probed: the command has taken effect."""
HELD_BACK = "held_back"
"""The command waits until what its declaration is missing has been provided: it has had no
effect.
"""
UNPROVEN = "unproven"
"""A receipt says that the command succeeded, but the system's ledger has no row of it."""
SETTLED = "settled"
"""A person has concluded the outcome of the command."""
RETRY_CODE = "retry"
"""The audit record of a new command that was sent in place of an old one."""
KEY_REUSED = "key_reused"
"""The command's id was already used for different content."""
UNDECIDABLE = "undecidable"
"""The command has content that the bridge can't handle: it was not executed."""

INCONSISTENT_CODES = frozenset({"bad_id", "bad_digest", "bad_command", "bad_agent", "bad_target"})
"""Codes of inconsistent records, whose id may be another command's. Neither the log key nor the
requester is part of the digest, so a copy with different ones must not end the original command.
"""
ID_CLAIM_CODES = frozenset({KEY_REUSED, *INCONSISTENT_CODES})
"""Codes of rejected records that only claim an id: the command that the id belongs to may still
come, or was a different one.
"""
REJECTION_CODES = frozenset({KEY_REUSED})
"""Error codes of effects for which a command is rejected; with any other it has failed."""
AWAITING_VERDICT_CODES = frozenset({UNKNOWN, UNPROVEN})
"""Codes of commands that wait for a person's conclusion."""

_HEADER_OF_CODE = {
    NOT_STARTED: headers.WITHDRAWN,
    UNPROVEN: headers.DISPUTED,
    HELD_BACK: headers.HELD,
}
"""Code -> the value of a receipt's outcome header, where it differs from the outcome."""

MAX_MESSAGE_CHARACTERS = 2000


def only_claims_id(code: str | None) -> bool:
    """Whether a receipt with this code only answers a record that claims an id."""
    return code in ID_CLAIM_CODES


def is_final(receipt: Receipt) -> bool:
    """Whether this is the final receipt of its command's id."""
    return not only_claims_id(receipt.code) and receipt.outcome != Outcome.UNKNOWN_OUTCOME


def outcome_headers(receipt: Receipt, digest: str) -> list[tuple[str, bytes]]:
    """The headers that give readers the answered content's digest and the outcome without decoding
    the receipt.
    """
    if only_claims_id(receipt.code):
        return []
    outcome = _HEADER_OF_CODE.get(receipt.code or "", receipt.outcome.encode())
    return [(headers.DIGEST, digest.encode()), (headers.OUTCOME, outcome)]


def clip_message(text: str) -> str:
    """The message, made to fit receipts and audit records: limited in length, valid UTF-8."""
    return clean_text(text, MAX_MESSAGE_CHARACTERS)
