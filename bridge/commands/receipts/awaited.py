"""Which receipt somebody waits for who has sent a command. Pure."""

from __future__ import annotations

from bridge.commands.codes import AWAITING_VERDICT_CODES, is_final
from bridge.log.port import Record
from bridge.model import headers
from bridge.model.command import CommandRecord
from bridge.model.receipt import Outcome, Receipt


def answers_command(record: Record, command: CommandRecord) -> bool:
    """Whether a record of the receipts' topic is the receipt of that id and content, or a rejection
    written since the command was requested.
    """
    headers_by_name = dict(record.headers)
    if headers_by_name.get(headers.ID) != command.id.encode():
        return False
    digest = headers_by_name.get(headers.DIGEST)
    if digest is None:
        return record.timestamp >= command.requested_at.timestamp() * 1000
    return digest == command.digest.encode()


def ends_wait(receipt: Receipt, timestamp: int, command: CommandRecord) -> bool:
    """Whether there is nothing to wait for any more; an outcome that was unknown before the command
    was sent again is asked for again.

    timestamp: of the receipt's record
    """
    if receipt.code in AWAITING_VERDICT_CODES:
        return timestamp >= command.requested_at.timestamp() * 1000
    return is_final(receipt) or receipt.outcome != Outcome.UNKNOWN_OUTCOME
