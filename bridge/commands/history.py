"""What became of commands: requests, steps and receipts joined by the command's id. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

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
    def state_text(self) -> str:
        """The state, and where the last step held the command back, why."""
        last = self.steps[-1] if self.steps else None
        if last is not None and last.code == HELD_BACK:
            return f"held back ({last.message})"
        return self.state

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


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """Chooses commands by what became of them; an empty field chooses all.

    states: `CommandHistory.state`
    codes: of the receipt
    ids: of the commands
    system: the name of the system
    name: `system.command`, or the command's own name
    since: requested at this time or later, in milliseconds since 1970
    """

    states: Collection[str] = ()
    codes: Collection[str] = ()
    ids: Collection[str] = ()
    system: str = ""
    name: str = ""
    since: int | None = None

    def takes(self, history: CommandHistory) -> bool:
        """Whether this command is chosen."""
        receipt, at = history.receipt, history.at
        system, _, name = history.name.partition(".")
        return (
            (not self.states or history.state in self.states)
            and (not self.codes or (receipt is not None and receipt.code in self.codes))
            and (not self.ids or history.id in self.ids)
            and self.system in ("", system)
            and self.name in ("", history.name, name)
            and (self.since is None or (at is not None and at.timestamp() * 1000 >= self.since))
        )


def command_histories(records: Iterable[SystemRecord]) -> dict[str, CommandHistory]:
    """Every command of these records, by id, in order of their requests.

    The first request counts: one that repeats an id is answered by the first one's receipt, or
    rejected, which leaves the first one's alone.
    """
    histories: dict[str, CommandHistory] = {}
    for record in records:
        match record:
            case CommandRecord():
                history = histories.setdefault(record.id, CommandHistory(record.id))
                history.request = history.request or record
            case AuditRecord():
                histories.setdefault(
                    record.command_id, CommandHistory(record.command_id)
                ).steps.append(record)
            case Receipt():
                history = histories.setdefault(record.command_id, CommandHistory(record.command_id))
                if history.receipt is None or _replaces(record, history.receipt):
                    history.receipt = record
            case _:
                continue
    for history in histories.values():
        history.steps.sort(key=lambda step: step.at)
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


def _begun(history: CommandHistory) -> float:
    return history.at.timestamp() if history.at else 0.0
