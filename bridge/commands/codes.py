"""The codes of receipts, and what readers of receipts conclude from them. Pure."""

from __future__ import annotations

from bridge.model import headers
from bridge.model.error_text import clean_text
from bridge.model.receipt import Outcome, Receipt

IN_PROGRESS = "in_progress"
"""A command into a system without a ledger is about to be executed."""
NOT_STARTED = "not_started"
"""The intent of such a command is withdrawn: nothing of it has happened."""
UNKNOWN = "unknown"
"""Nobody but a person can tell whether the command has taken effect."""
RECONCILED = "reconciled"
"""The system was asked, and the command has taken effect."""
HELD_BACK = "held_back"
"""The command waits until its declaration has what it is missing: nothing of it has happened."""
UNPROVEN = "unproven"
"""A receipt says that the command succeeded, while the system's ledger has no row of it."""
SETTLED = "settled"
"""A person has concluded what became of the command."""
RETRY_CODE = "retry"
"""The audit record of a new command that was sent in place of an old one."""
KEY_REUSED = "key_reused"
"""The command's id stands for another content."""
UNDECIDABLE = "undecidable"
"""The command holds what nobody thought of: it was not executed."""

INCONSISTENT_CODES = frozenset({"bad_id", "bad_digest", "bad_command", "bad_agent", "bad_target"})
"""Codes of records that contradict themselves: their id may be another command's. Neither the log key
nor who asks is part of the digest, so a copy with others must not end the command it was made of.
"""
ID_CLAIM_CODES = frozenset({KEY_REUSED, *INCONSISTENT_CODES})
"""Codes of rejected records that only claim an id: the command that it belongs to may still come, or
was another one.
"""
REJECTION_CODES = frozenset({KEY_REUSED})
"""Codes of effects that make a command rejected; any other error of an effect makes it failed."""
AWAITING_VERDICT_CODES = frozenset({UNKNOWN, UNPROVEN})
"""Codes of commands that wait for a person's conclusion."""

_HEADER_OF_CODE = {
    NOT_STARTED: headers.WITHDRAWN,
    UNPROVEN: headers.DISPUTED,
    HELD_BACK: headers.HELD,
}
"""What a receipt of this code says in its outcome header instead of its outcome."""

MAX_MESSAGE_CHARACTERS = 2000


def only_claims_id(code: str | None) -> bool:
    """Whether a receipt with this code only answers a record that claimed an id."""
    return code in ID_CLAIM_CODES


def is_final(receipt: Receipt) -> bool:
    """Whether this is the one receipt with which its command's id has ended."""
    return not only_claims_id(receipt.code) and receipt.outcome != Outcome.UNKNOWN_OUTCOME


def outcome_headers(receipt: Receipt, digest: str) -> list[tuple[str, bytes]]:
    """The headers from which readers know which content the receipt answers and how, without decoding it."""
    if only_claims_id(receipt.code):
        return []
    outcome = _HEADER_OF_CODE.get(receipt.code or "", receipt.outcome.encode())
    return [(headers.DIGEST, digest.encode()), (headers.OUTCOME, outcome)]


def clip_message(text: str) -> str:
    """A message as receipts and audit records can hold it: not too long, and UTF-8."""
    return clean_text(text, MAX_MESSAGE_CHARACTERS)
