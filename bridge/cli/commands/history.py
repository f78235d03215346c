"""What became of commands: requests, steps and receipts joined by the command's id. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.cli.output.records import parse_json_text
from bridge.commands.codes import (
    AWAITING_VERDICT_CODES,
    HELD_BACK,
    SETTLED,
    UNPROVEN,
    is_final,
    only_claims_id,
)
from bridge.model.command import CommandRecord
from bridge.model.receipt import Outcome, Receipt, State
from bridge.model.system_records import AuditRecord, SystemRecord

#: A command that nobody has taken up yet, or that is held back.
WAITING = "waiting"


@dataclass(slots=True)
class CommandHistory:
    """One command: its request (None: before what was read), its steps, its receipt."""

    id: str
    request: CommandRecord | None = None
    steps: list[AuditRecord] = field(default_factory=list)
    receipt: Receipt | None = None

    @property
    def state(self) -> str:
        """How it ended, `unknown` where nobody can tell, else the last step's state."""
        receipt = self.receipt
        if receipt is not None and receipt.outcome != Outcome.UNKNOWN_OUTCOME:
            return str(receipt.outcome)
        if receipt is not None and receipt.code in AWAITING_VERDICT_CODES:
            return str(State.UNKNOWN)
        if receipt is not None and receipt.code == HELD_BACK:
            return WAITING
        return self.steps[-1].state if self.steps else WAITING

    @property
    def name(self) -> str:
        """`system.command`."""
        if self.request is not None:
            return self.request.name
        return self.steps[-1].name if self.steps else ""

    @property
    def at(self) -> datetime | None:
        """When it was requested, else the first thing that is known of it."""
        if self.request is not None:
            return self.request.requested_at
        if self.steps:
            return self.steps[0].at
        return self.receipt.finished_at if self.receipt else None

    def row(self) -> dict[str, Any]:
        """For programs, and, less some columns, for people."""
        request, receipt = self.request, self.receipt
        last = self.steps[-1] if self.steps else None
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "key": parse_json_text(request.key) if request else None,
            "args": parse_json_text(request.args) if request else None,
            "expect": request.expect if request else None,
            "agent": request.agent if request else None,
            "agent_version": request.agent_version if request else None,
            "handler": request.handler if request else None,
            "caused_by": request.caused_by if request else None,
            "reason": request.reason if request else None,
            "confidence": request.confidence if request else None,
            "deadline": request.deadline if request else None,
            "digest": request.digest if request else None,
            "requested_at": request.requested_at if request else None,
            "finished_at": receipt.finished_at if receipt else None,
            "code": receipt.code if receipt else (last.code if last else None),
            "message": receipt.message if receipt else (last.message if last else None),
            "result": parse_json_text(receipt.result) if receipt and receipt.result else None,
            "version": receipt.version if receipt else None,
            "position": receipt.position if receipt else None,
            "steps": [
                {
                    "state": step.state,
                    "at": step.at,
                    "by": step.by,
                    "code": step.code,
                    "message": step.message,
                }
                for step in self.steps
            ],
        }


def command_histories(records: Iterable[SystemRecord]) -> dict[str, CommandHistory]:
    """Every command of these records, by id, in order of their requests.

    The first request counts: one that repeats an id is answered by the first one's receipt, or
    rejected, which leaves the first one's alone.
    """
    histories: dict[str, CommandHistory] = {}
    for record in records:
        match record:
            case CommandRecord():
                story = histories.setdefault(record.id, CommandHistory(record.id))
                story.request = story.request or record
            case AuditRecord():
                histories.setdefault(
                    record.command_id, CommandHistory(record.command_id)
                ).steps.append(record)
            case Receipt():
                story = histories.setdefault(record.command_id, CommandHistory(record.command_id))
                if story.receipt is None or _replaces(record, story.receipt):
                    story.receipt = record
            case _:
                continue
    for story in histories.values():
        story.steps.sort(key=lambda step: step.at)
    return dict(sorted(histories.items(), key=lambda item: _begun(item[1])))


def _replaces(receipt: Receipt, last: Receipt) -> bool:
    """Whether it says more than the last one. An end stays, unless the ledger disputes it."""
    if receipt.code == UNPROVEN:
        return last.code != SETTLED or receipt.finished_at > last.finished_at
    if last.code == UNPROVEN:
        return receipt.code == SETTLED
    return _weight(receipt) >= _weight(last) < 2


def _weight(receipt: Receipt) -> int:
    """An end outweighs that it isn't known yet, and that outweighs what isn't about the command."""
    return 2 if is_final(receipt) else 0 if only_claims_id(receipt.code) else 1


def _begun(story: CommandHistory) -> float:
    return story.at.timestamp() if story.at else 0.0
